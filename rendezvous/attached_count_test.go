package rendezvous_test

import (
	"testing"
	"time"

	"restante/rendezvous"
)

// TestAttachedSessionsAreCounted has sessions end in each way. What is over is not counted from then on, and not only
// when its silence would be long enough.
func TestAttachedSessionsAreCounted(t *testing.T) {
	bubble(t, nil, func(t *testing.T, w *world) {
		attached := func() int64 { return w.Status(t.Context()).Attached }
		a, b := w.begin("a"), w.begin("b")
		a.open("m")
		b.open("m")
		w.begin("c")
		expect(t, attached(), 3)
		_, err := w.End(t.Context(), a.command(), nil)
		a.must(err)
		expect(t, attached(), 2)
		happy := rendezvous.Happy
		_, err = w.End(t.Context(), b.command(), &happy)
		b.must(err)
		expect(t, attached(), 1)
		time.Sleep(time.Hour)
		expect(t, attached(), 0)
	})
}
