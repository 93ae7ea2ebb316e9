package apifuzz_test

import (
	"testing"

	"restante/internal/apifuzz"
)

// FuzzRequests has the bytes make the choices of some requests, one after the other, to a server on SQLite.
func FuzzRequests(f *testing.F) {
	for _, seed := range []string{"", "a", "requests", "\x00\x01\x02\x03", "\xff\xff\xff\xff\xff\xff\xff\xff"} {
		f.Add([]byte(seed))
	}
	play, err := apifuzz.Player(f)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, choices []byte) {
		if err := play(choices); err != nil {
			t.Fatal(err)
		}
	})
}
