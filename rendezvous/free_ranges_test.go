package rendezvous_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"restante/rendezvous"
)

// Remembering full ranges never costs a shorter nameplate that was freed on this process, and costs
// one that was freed on another process only for a short time.
func TestTheShortestFreeNameplateIsAllocated(t *testing.T) {
	t.Parallel()
	bubble(t, nil, func(t *testing.T, w *world) {
		holders := map[rendezvous.NameplateID]*client{}
		for i := range 110 {
			c := w.begin(rendezvous.Side(fmt.Sprint(i)))
			id := c.allocate().Nameplate
			want := 1
			switch {
			case i >= 99:
				want = 3
			case i >= 9:
				want = 2
			}
			if len(id) != want {
				t.Fatalf("allocation %d is of %s", i, id)
			}
			holders[id] = c
		}
		for _, id := range []rendezvous.NameplateID{"42", "7"} {
			holders[id].must(w.ReleaseFor(t.Context(), rendezvous.SideRef{App: app, Side: holders[id].side}, id))
			if got := w.begin("next " + rendezvous.Side(id)).allocate().Nameplate; got != id {
				t.Errorf("after %s was released, %s is allocated", id, got)
			}
		}
		if !strings.HasPrefix(w.path, "postgres") {
			return // no other process can free one
		}
		other := open(t, w.path, nil, nil) // another process, which knows nothing of what this one remembers
		defer other.stop()
		w.begin("full").allocate()
		if err := other.ReleaseFor(t.Context(), rendezvous.SideRef{App: app, Side: holders["5"].side}, "5"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if got := w.begin("later").allocate().Nameplate; got != "5" {
			t.Errorf("a second after 5 was released elsewhere, %s is allocated", got)
		}
	})
}
