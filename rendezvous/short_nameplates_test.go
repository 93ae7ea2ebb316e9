package rendezvous_test

import (
	"strconv"
	"testing"
	"time"

	"restante/rendezvous"
)

// TestOneAddressLeavesTheShortNameplates has one address allocate in a loop, and keep or release what it gets. It gets
// four of the nine numbers with one digit, and then longer ones; after each of its allocations, another address still
// gets a number with one digit.
func TestOneAddressLeavesTheShortNameplates(t *testing.T) {
	t.Parallel()
	for name, keeps := range map[string]bool{"that it keeps": true, "that it releases": false} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(c *rendezvous.Config) { c.NameplateRest = time.Minute }, func(t *testing.T, w *world) {
				allocate := func(i int, address string) rendezvous.Claimed {
					t.Helper()
					got, err := w.AllocateFor(t.Context(), from(i, address))
					expect(t, code(t, err), "")
					return got
				}
				release := func(i int, address string, id rendezvous.NameplateID) {
					t.Helper()
					expect(t, code(t, w.ReleaseFor(t.Context(), from(i, address), id)), "")
				}
				short := 0
				for i := range 50 {
					got := allocate(i, "addr-one").Nameplate
					if len(got) == 1 {
						short++
					}
					if !keeps {
						release(i, "addr-one", got)
					}
				}
				expect(t, short, 4)
				for i := range 4 {
					expect(t, len(allocate(100+i, "addr-"+strconv.Itoa(i)).Nameplate), 1)
				}
				time.Sleep(5 * time.Minute)
				got := allocate(200, "addr-one").Nameplate
				if short := len(got) == 1; short == keeps {
					t.Errorf("minutes later it gets %s", got)
				}
			})
		})
	}
}

// TestAnAddressThatGoesOnHasItsShareOfShortNameplates has one address allocate and release every two seconds. It gets four
// numbers with one digit a minute, for as long as it goes on.
func TestAnAddressThatGoesOnHasItsShareOfShortNameplates(t *testing.T) {
	t.Parallel()
	bubble(t, func(c *rendezvous.Config) { c.NameplateRest = time.Minute }, func(t *testing.T, w *world) {
		short := 0
		for i := range 90 {
			got, err := w.AllocateFor(t.Context(), from(i, "addr-one"))
			expect(t, code(t, err), "")
			expect(t, code(t, w.ReleaseFor(t.Context(), from(i, "addr-one"), got.Nameplate)), "")
			if i >= 30 && len(got.Nameplate) == 1 { // after the first minute
				short++
			}
			time.Sleep(2 * time.Second)
		}
		expect(t, short, 8)
	})
}
