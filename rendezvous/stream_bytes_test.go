package rendezvous_test

import (
	"fmt"
	"strings"
	"testing"

	"restante/rendezvous"
)

// TestStreamsAreGivenLittleAtATime checks that a stream and a socket are given no more at a time than StreamBytes, or one
// frame or message: what a client does not read waits in the storage.
func TestStreamsAreGivenLittleAtATime(t *testing.T) {
	limits := func(c *rendezvous.Config) { c.Limits.StreamBytes = 1000 }
	bubble(t, limits, func(t *testing.T, w *world) {
		a, b, mailbox := pair(w)
		k := w.keyOf(mailbox)
		for _, size := range []int{300, 300, 300, 900, 2000} {
			a.add(mailbox, strings.Repeat("x", size))
		}
		stream, _, err := w.Stream(t.Context(), rendezvous.ReceiveRequest{Session: b.key})
		a.must(err)
		defer stream.Close()
		var frames, messages []int
		for sum := 0; sum < 5; {
			got, _, err := stream.Next(t.Context())
			a.must(err)
			frames = append(frames, len(got.Frames))
			sum += len(got.Frames)
		}
		for after := rendezvous.Position(0); after < 5; {
			got, err := w.Tail(t.Context(), k, after)
			a.must(err)
			messages = append(messages, len(got))
			after += rendezvous.Position(len(got))
		}
		expect(t, fmt.Sprint(frames), "[2 1 1 1]") // a frame has some hundred bytes more
		expect(t, fmt.Sprint(messages), "[3 1 1]")
	})
}
