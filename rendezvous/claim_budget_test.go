package rendezvous_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"testing"
	"time"

	"restante/rendezvous"
)

// from is a new side that asks from an address.
func from(i int, address string) rendezvous.SideRef {
	return rendezvous.SideRef{App: app, Side: rendezvous.Side("s" + strconv.Itoa(i)), Address: address}
}

func TestAllocationsOfAnAddress(t *testing.T) {
	bubble(t, func(c *rendezvous.Config) { c.Limits.AddressNameplates = 1000 }, func(t *testing.T, w *world) {
		const one, other = "addr-one", "addr-other"
		for i := range 60 {
			_, err := w.AllocateFor(t.Context(), from(i, one))
			expect(t, code(t, err), "")
		}
		_, err := w.AllocateFor(t.Context(), from(60, one))
		expect(t, code(t, err), rendezvous.RateLimited)
		if f, is := errors.AsType[*rendezvous.Failure](err); !is || f.RetryAfter < 2*time.Second || f.RetryAfter > 4*time.Second {
			t.Errorf("it is to wait as %v says", err)
		}
		_, err = w.AllocateFor(t.Context(), from(0, one)) // what it holds is its, however often it comes back
		expect(t, code(t, err), "")
		_, err = w.AllocateFor(t.Context(), from(61, other))
		expect(t, code(t, err), "")
		<-time.After(time.Minute)
		for i := range 29 {
			_, err := w.AllocateFor(t.Context(), from(100+i, one))
			expect(t, code(t, err), "")
		}
		_, err = w.AllocateFor(t.Context(), from(200, one))
		expect(t, code(t, err), rendezvous.RateLimited)
	})
}

// A client that asks on and on without waiting, each time as another side, is refused for ever longer.
func TestRefusalsCost(t *testing.T) {
	bubble(t, nil, func(t *testing.T, w *world) {
		wait := time.Duration(0)
		for i := range 6 {
			_, _ = w.ClaimFor(t.Context(), from(i, "addr-one"), rendezvous.NameplateID(strconv.Itoa(1000+i)))
		}
		for i := range 10 {
			_, err := w.AllocateFor(t.Context(), from(10+i, "addr-one"))
			f, is := errors.AsType[*rendezvous.Failure](err)
			if !is || f.RetryAfter <= wait {
				t.Fatalf("after a wait of %v: %v", wait, err)
			}
			wait = f.RetryAfter
		}
	})
}

// TestEachSideOfAnAddressHasItsTurn has sides of an address that has nothing left come back when they are told, to the whole
// second, as clients over HTTP do. Each gets in the first time that it comes back, and in as short a time as the rate allows.
func TestEachSideOfAnAddressHasItsTurn(t *testing.T) {
	for _, sides := range []int{1, 2, 8, 25} {
		t.Run(strconv.Itoa(sides), func(t *testing.T) {
			few := func(c *rendezvous.Config) {
				c.Limits.AddressNameplates, c.Limits.ClaimRate, c.Limits.ClaimBurst = 1000, 30, 1
			}
			bubble(t, few, func(t *testing.T, w *world) {
				_, err := w.AllocateFor(t.Context(), from(0, "addr-one"))
				expect(t, code(t, err), "")
				began := time.Now()
				waits := make([]time.Duration, sides)
				for i := range waits {
					_, err := w.AllocateFor(t.Context(), from(1+i, "addr-one"))
					f, is := errors.AsType[*rendezvous.Failure](err)
					if !is || f.Code != rendezvous.RateLimited {
						t.Fatalf("side %d is told %v", i, err)
					}
					waits[i] = (f.RetryAfter + time.Second - 1).Truncate(time.Second)
				}
				for i, wait := range waits {
					time.Sleep(wait - time.Since(began))
					_, err := w.AllocateFor(t.Context(), from(100+i, "addr-one")) // another one, which waits behind them
					expect(t, code(t, err), rendezvous.RateLimited)
					w.LeaveQueue(from(100+i, "addr-one"))
					_, err = w.AllocateFor(t.Context(), from(1+i, "addr-one"))
					expect(t, code(t, err), "")
				}
				if took, due := time.Since(began), time.Duration(sides)*2*time.Second; took > due+time.Second {
					t.Errorf("all are in after %v, want %v", took, due)
				}
			})
		})
	}
}

func TestGuessesCostTen(t *testing.T) {
	bubble(t, func(c *rendezvous.Config) { c.NameplateRest = time.Minute }, func(t *testing.T, w *world) {
		there := w.begin("a").allocate()
		gone := w.begin("b")
		left := gone.allocate().Nameplate
		gone.must(w.ReleaseFor(t.Context(), rendezvous.SideRef{App: app, Side: gone.side}, left))
		_, err := w.ClaimFor(t.Context(), from(0, "addr-one"), there.Nameplate) // 1: it is there
		expect(t, code(t, err), "")
		_, err = w.ClaimFor(t.Context(), from(1, "addr-one"), left) // 1: it was there
		expect(t, code(t, err), "")
		for i := range 6 { // 10 each, and the last one is more than is left
			_, err = w.ClaimFor(t.Context(), from(2+i, "addr-one"), rendezvous.NameplateID(strconv.Itoa(1000+i)))
			expect(t, code(t, err), "")
		}
		_, err = w.ClaimFor(t.Context(), from(10, "addr-one"), there.Nameplate)
		expect(t, code(t, err), rendezvous.RateLimited)
	})
}

func TestNameplatesHeldFromAnAddress(t *testing.T) {
	bubble(t, func(c *rendezvous.Config) { c.Limits.AddressNameplates, c.Limits.ClaimRate = 3, 0 }, func(t *testing.T, w *world) {
		network := func(i int) string { return fmt.Sprintf("addr-net-n%d", i) } // of 64 bits, all in one of 48
		var held []rendezvous.Claimed
		for i := range 12 {
			got, err := w.AllocateFor(t.Context(), from(i, network(i/3)))
			expect(t, code(t, err), "")
			held = append(held, got)
		}
		_, err := w.AllocateFor(t.Context(), from(20, network(0)))
		expect(t, code(t, err), rendezvous.QuotaExceeded)
		_, err = w.AllocateFor(t.Context(), from(20, network(9))) // a new one, but the network of 48 bits has four times three
		expect(t, code(t, err), rendezvous.QuotaExceeded)
		_, err = w.ClaimFor(t.Context(), from(20, network(0)), held[0].Nameplate)
		expect(t, code(t, err), rendezvous.QuotaExceeded)
		_, err = w.AllocateFor(t.Context(), from(20, "addr-net2-n1"))
		expect(t, code(t, err), "")
		if err := w.ReleaseFor(t.Context(), from(0, network(0)), held[0].Nameplate); err != nil {
			t.Fatal(err)
		}
		_, err = w.AllocateFor(t.Context(), from(20, network(9)))
		expect(t, code(t, err), "")
	})
}

// claimCounts counts how often a store counts the claims of an address.
type claimCounts struct {
	rendezvous.Store
	count *int
}

func (s claimCounts) Update(ctx context.Context, f func(rendezvous.Tx) error) error {
	return s.Store.Update(ctx, func(tx rendezvous.Tx) error { return f(claimCountsTx{tx, s.count}) })
}

type claimCountsTx struct {
	rendezvous.Tx
	count *int
}

func (tx claimCountsTx) CountClaimsFrom(address string, atMost int) (int, error) {
	*tx.count++
	return tx.Tx.CountClaimsFrom(address, atMost)
}

// TestClaimsOfAnAddressAreCountedSeldom is of an address that may have many: a claim must not take as long as there are
// others.
func TestClaimsOfAnAddressAreCountedSeldom(t *testing.T) {
	t.Parallel()
	const limit = 200
	count := 0
	counting := func(s rendezvous.Store) rendezvous.Store { return claimCounts{s, &count} }
	bubbleOn(t, func(c *rendezvous.Config) { c.Limits.AddressNameplates, c.Limits.ClaimRate = limit, 0 }, counting, func(t *testing.T, w *world) {
		count = 0
		var held []rendezvous.Claimed
		for i := range limit {
			got, err := w.ClaimFor(t.Context(), from(i, "addr-one"), rendezvous.NameplateID(strconv.Itoa(1000+i)))
			expect(t, code(t, err), "")
			held = append(held, got)
		}
		if count > limit/4 {
			t.Errorf("%d claims were counted %d times", limit, count)
		}
		claimOne := func() error {
			_, err := w.ClaimFor(t.Context(), from(limit, "addr-one"), "5000")
			return err
		}
		expect(t, code(t, claimOne()), rendezvous.QuotaExceeded)
		if err := w.ReleaseFor(t.Context(), from(0, "addr-one"), held[0].Nameplate); err != nil {
			t.Fatal(err)
		}
		expect(t, code(t, claimOne()), "")
	})
}

func TestNameplateRests(t *testing.T) {
	bubble(t, func(c *rendezvous.Config) { c.NameplateRest = time.Minute }, func(t *testing.T, w *world) {
		seen := map[rendezvous.NameplateID]bool{}
		for i := range 30 {
			side := from(i, "")
			got, err := w.AllocateFor(t.Context(), side)
			expect(t, code(t, err), "")
			if seen[got.Nameplate] {
				t.Errorf("nameplate %s is given out again", got.Nameplate)
			}
			seen[got.Nameplate] = true
			if err := w.ReleaseFor(t.Context(), side, got.Nameplate); err != nil {
				t.Fatal(err)
			}
		}
		again, err := w.ClaimFor(t.Context(), from(40, ""), "1") // it may be claimed: a person agreed on it
		expect(t, code(t, err), "")
		expect(t, again.Nameplate, "1")
		<-time.After(time.Minute)
		got, err := w.AllocateFor(t.Context(), from(50, ""))
		expect(t, code(t, err), "")
		expect(t, len(got.Nameplate), 1)
		<-time.After(w.Config.PruneInterval)
		w.Prune(t.Context())
		expect(t, w.Prune(t.Context()).Retired[rendezvous.KindRested], 0)
	})
}

func TestAddressID(t *testing.T) {
	bubble(t, nil, func(t *testing.T, w *world) {
		if err := w.LoadAddressKey(t.Context()); err != nil {
			t.Fatal(err)
		}
		id := func(a string) string { return w.AddressID(netip.MustParseAddr(a)) }
		expect(t, len(id("192.0.2.7")), len("addr-")+10)
		expect(t, id("::ffff:192.0.2.7"), id("192.0.2.7"))
		expect(t, id("2001:db8:1:2::7"), id("2001:db8:1:2:3::8"))
		expect(t, id("2001:db8:1:2::7")[:16], id("2001:db8:1:3::7")[:16]) // the network of 48 bits
		expect(t, w.AddressID(netip.Addr{}), "addr-local")
		different := map[string]bool{}
		for _, a := range []string{"192.0.2.7", "192.0.2.8", "2001:db8:1:2::7", "2001:db8:1:3::7", "2001:db8:2:2::7"} {
			different[id(a)] = true
		}
		expect(t, len(different), 5)
		today := id("192.0.2.7")
		w.restart(nil)
		if err := w.LoadAddressKey(t.Context()); err != nil {
			t.Fatal(err)
		}
		expect(t, id("192.0.2.7"), today)
		w.stop() // the day passes without a server: the loops of one take long for it
		time.Sleep(24*time.Hour - 2*time.Minute)
		w.restart(nil)
		if err := w.LoadAddressKey(t.Context()); err != nil {
			t.Fatal(err)
		}
		expect(t, id("192.0.2.7"), today)
		time.Sleep(4 * time.Minute) // into the next day
		if id("192.0.2.7") == today {
			t.Error("it is the same a day later")
		}
	})
}
