package logsample_test

import (
	"strconv"
	"testing"
	"time"

	"restante/internal/logsample"
)

// Each kind and address has a line a second of its own, which says for how many it stands.
func TestOneLineASecond(t *testing.T) {
	var s logsample.Sampler
	now := time.Unix(1, 0)
	want := func(kind, address string, standsFor int) {
		t.Helper()
		n, logIt := s.Count(kind, address, now)
		if n != standsFor || logIt != (standsFor > 0) {
			t.Errorf("a line of %s and %s stands for %d, and is logged: %v; want %d", kind, address, n, logIt, standsFor)
		}
	}
	want("429", "a", 1)
	want("429", "a", 0)
	want("429", "b", 1)
	want("503", "a", 1)
	now = now.Add(logsample.Interval - 1)
	want("429", "a", 0)
	now = now.Add(1)
	want("429", "a", 3)
	want("429", "a", 0)
}

// A client with many addresses does not fill the memory.
func TestKeysAreBounded(t *testing.T) {
	var s logsample.Sampler
	for i := range 30_000 {
		if _, logIt := s.Count("429", strconv.Itoa(i), time.Unix(1, 0)); !logIt {
			t.Fatal("the first line of an address is not logged")
		}
	}
	if n := logsample.Keys(&s); n > 10_000 {
		t.Errorf("%d keys are remembered", n)
	}
}
