package handlers_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"restante/handlers/welcome"
	"restante/rendezvous"
)

// elapse lets time pass, in a bubble.
func elapse(d time.Duration) { <-time.After(d) }

// usage is what is remembered: when it started since a moment, how long it waited and lasted, in seconds, and its result.
func (r *relay) usage(t testing.TB, of string, since time.Time) []string {
	t.Helper()
	return r.rows(t, fmt.Sprintf(`SELECT (started - %d) / 1000, waiting / 1000, total / 1000, result FROM usage_%s`, since.UnixMilli(), of))
}

// test_server: what is stored.
func TestWormholeConformanceServer(t *testing.T) {
	t.Run("Server.test_apps", func(t *testing.T) {
		r := serve(t, setup{})
		one := r.bind(t, "app1", "a").ask("claimed", "claim", "nameplate", "1").text("mailbox")
		same := r.bind(t, "app1", "b").ask("claimed", "claim", "nameplate", "1").text("mailbox")
		other := r.bind(t, "app2", "b").ask("claimed", "claim", "nameplate", "1").text("mailbox")
		if one != same || one == other {
			t.Errorf("the mailboxes are %s and %s in one app, %s in another", one, same, other)
		}
	})
	t.Run("test_nameplate_allocation", nameplateAllocation)
	t.Run("test_nameplate_allocation_failure", func(t *testing.T) {
		// Shorter ranges than the true ones, since filling these takes as long as it sounds.
		defer func(all []struct{ Low, High int }) { rendezvous.NumberRanges = all }(rendezvous.NumberRanges)
		rendezvous.NumberRanges = []struct{ Low, High int }{{1, 2}, {10, 11}}
		t.Run("", func(t *testing.T) {
			r := serve(t, setup{})
			for i := range 4 {
				r.bind(t, "app", strconv.Itoa(i)).ask("allocated", "allocate")
			}
			// Deviation (5.1): it is told, and may go on, instead of being cut off. The words go on after the reference's.
			c := r.bind(t, "app", "late")
			c.refused("unable to find a free nameplate: all of them are taken; try again later, or claim a longer one", "allocate")
			c.ask("claimed", "claim", "nameplate", "12345678")
		})
	})
	t.Run("test_nameplate", func(t *testing.T) {
		bubble(t, setup{}, func(t *testing.T, r *relay) {
			start := time.Now()
			a := r.bind(t, "app", "side1")
			nameplate := a.ask("allocated", "allocate").text("nameplate")
			query := `SELECT side, since - ` + strconv.FormatInt(start.UnixMilli(), 10) + `, released IS NOT NULL FROM claims`
			elapse(time.Second)
			mailbox := a.ask("claimed", "claim", "nameplate", nameplate).text("mailbox")
			expect(t, r.rows(t, query), "side1 0 0") // claiming again does not change since when
			elapse(2 * time.Second)
			b := r.bind(t, "app", "side2")
			if got := b.ask("claimed", "claim", "nameplate", nameplate).text("mailbox"); got != mailbox {
				t.Errorf("the second side gets %s, want %s", got, mailbox)
			}
			elapse(time.Second)
			// Deviation (5.10): the third side is refused, but no row is kept of it.
			r.bind(t, "app", "side3").refused("crowded", "claim", "nameplate", nameplate)
			expect(t, r.rows(t, query), "side1 0 0", "side2 3000 0")
			elapse(time.Second)
			a.ask("released", "release")
			r.bind(t, "app", "side1").ask("released", "release", "nameplate", nameplate)
			r.bind(t, "app", "side4").ask("released", "release", "nameplate", nameplate) // which has no claim
			expect(t, r.rows(t, query), "side1 0 1", "side2 3000 0")
			elapse(2 * time.Second)
			// Deviation (5.23): it is free when its two sides have released, whatever the third does.
			b.ask("released", "release")
			expect(t, r.rows(t, query))
			expect(t, r.usage(t, "nameplates", start), "0 3 7 crowded")
		})
	})
	t.Run("test_mailbox", func(t *testing.T) {
		bubble(t, setup{}, func(t *testing.T, r *relay) {
			start := time.Now()
			query := `SELECT side, opened - ` + strconv.FormatInt(start.UnixMilli(), 10) + `, mood FROM mailbox_sides`
			a := r.bind(t, "app", "side1").say("open", "mailbox", "mb")
			elapse(time.Second)
			again := r.bind(t, "app", "side1").say("open", "mailbox", "mb")
			expect(t, r.rows(t, query), "side1 0 -")
			elapse(2 * time.Second)
			b := r.bind(t, "app", "side2").say("open", "mailbox", "mb")
			elapse(time.Second)
			// Deviation (5.10): no row is kept of the third side.
			r.bind(t, "app", "side3").refused("crowded", "open", "mailbox", "mb")
			expect(t, r.rows(t, query), "side1 0 -", "side2 3000 -")
			a.ask("closed", "close", "mood", "happy")
			r.bind(t, "app", "side1").ask("closed", "close", "mailbox", "mb")
			r.bind(t, "app", "side4").ask("closed", "close", "mailbox", "mb") // which is not in it
			expect(t, r.rows(t, query), "side1 0 happy", "side2 3000 -")
			elapse(3 * time.Second)
			b.ask("closed", "close", "mood", "happy")
			again.gone("mb") // deviation (5.27): there, it waits for ever
			expect(t, r.rows(t, query))
			expect(t, r.usage(t, "mailboxes", start), "0 3 7 crowded")
			expect(t, r.rows(t, `SELECT count(*) FROM mailboxes`), "0")
		})
	})
	t.Run("test_messages", func(t *testing.T) {
		r := serve(t, setup{})
		a := r.bind(t, "app", "side1").say("open", "mailbox", "mb")
		a.add("phase", "one")
		a.add("phase", "two")
		b := r.bind(t, "app", "side2").say("open", "mailbox", "mb")
		b.hears("one", "two")
		a.add("phase", "three")
		b.hears("three")
		b.ask("closed", "close")
		a.add("phase", "four")
		a.add("phase", "four") // nothing is taken for a repetition
		b.quiet()
		expect(t, r.rows(t, `SELECT count(*) FROM messages`), "5")
	})
	t.Run("test_early_close", func(t *testing.T) {
		r := serve(t, setup{})
		a := r.bind(t, "app", "side1")
		nameplate := a.ask("allocated", "allocate").text("nameplate")
		mailbox := a.ask("claimed", "claim", "nameplate", nameplate).text("mailbox")
		a.say("open", "mailbox", mailbox)
		a.ask("closed", "close", "mood", "happy")
		a.ask("released", "release")
		for _, table := range []string{"mailboxes", "nameplates", "mailbox_sides", "claims"} {
			expect(t, r.rows(t, `SELECT count(*) FROM `+table), "0")
		}
	})
	for name, settings := range map[string]welcome.Settings{"test_nameplate_disallowed": {DisallowList: true}, "test_nameplate_allowed": {}} {
		t.Run(name, func(t *testing.T) {
			r := serve(t, setup{settings: settings})
			r.bind(t, "app", "a").ask("claimed", "claim", "nameplate", "4")
			want := []string{"4"}
			if settings.DisallowList {
				want = nil
			}
			expect(t, r.bind(t, "app", "b").list(), want...)
		})
	}
	for name, tt := range map[string]struct {
		settings welcome.Settings
		want     map[string]any
	}{
		"MakeServer.test_welcome_empty": {welcome.Settings{}, map[string]any{}},
		"MakeServer.test_welcome_error": {welcome.Settings{SignalError: "error!"}, map[string]any{"error": "error!"}},
		"MakeServer.test_advertise":     {welcome.Settings{AdvertiseVersion: "version"}, map[string]any{"current_cli_version": "version"}},
		"MakeServer.test_motd":          {welcome.Settings{Motd: "hello"}, map[string]any{"motd": "hello"}},
	} {
		t.Run(name, func(t *testing.T) {
			got := serve(t, setup{settings: tt.settings}).call(t).welcome.at("welcome").(map[string]any)
			delete(got, "your-address") // is always there, since 0.8.0
			delete(got, "address-id")   // is there, too
			if fmt.Sprint(got) != fmt.Sprint(tt.want) {
				t.Errorf("the welcome is %v, want %v", got, tt.want)
			}
		})
	}
}

// nameplateAllocation fills one length after the other.
func nameplateAllocation(t *testing.T) {
	r := serve(t, setup{})
	allocate := func() int {
		nameplate := r.bind(t, "app", mint()).ask("allocated", "allocate").text("nameplate")
		number, err := strconv.Atoi(nameplate)
		if err != nil || strconv.Itoa(number) != nameplate {
			t.Fatalf("it allocates %q", nameplate)
		}
		return number
	}
	r.exec(t, `INSERT INTO mailboxes (key, app, id, created, updated, ttl, stale_at, for_nameplate, crowded, last_position, bytes)
		VALUES (1, 'app', 'shared', 0, 0, 1, 4102444800000, 0, 0, 0, 0)`)
	fill := func(low, high int) { // behind the server's back, since that is quicker
		r.exec(t, `WITH RECURSIVE numbers (n) AS (VALUES (?) UNION ALL SELECT n + 1 FROM numbers WHERE n < ?)
			INSERT INTO nameplates (app, id, number, mailbox, created, stale_at, crowded, waiting)
			SELECT 'app', CAST(n AS TEXT), n, 1, 0, 4102444800000, 0, 0 FROM numbers WHERE true
			ON CONFLICT DO NOTHING`, low, high)
	}
	var first []int
	for range 9 {
		first = append(first, allocate())
	}
	slices.Sort(first)
	if want := []int{1, 2, 3, 4, 5, 6, 7, 8, 9}; !slices.Equal(first, want) {
		t.Errorf("the first are %v", first)
	}
	for low := 10; low <= 1000; low *= 10 {
		high := 10*low - 1
		if low == 1000 {
			high = 999_999
		}
		got := allocate()
		if got < low || got > high {
			t.Errorf("when all below %d are taken, %d is allocated", low, got)
		}
		if low < 1000 {
			fill(low, high)
		}
	}
}

// test_server.Prune: what is left of what no client comes for.
func TestWormholeConformancePrune(t *testing.T) {
	t.Run("test_update", func(t *testing.T) {
		bubble(t, setup{}, func(t *testing.T, r *relay) {
			start := time.Now()
			updated := func() string {
				t.Helper()
				return strings.Join(r.rows(t, fmt.Sprintf(`SELECT (updated - %d) / 1000 FROM mailboxes`, start.UnixMilli())), ",")
			}
			steps := []func(){
				func() { r.bind(t, "app", "side1").opens("mb").leave() },
				func() { r.bind(t, "app", "side2").opens("mb").leave() },
				func() { r.bind(t, "app", "side1").say("open", "mailbox", "mb").add("p", "b") },
			}
			for i, step := range steps {
				step()
				if got := updated(); got != strconv.Itoa(i) {
					t.Errorf("step %d: it was updated at %s", i, got)
				}
				elapse(time.Second)
			}
		})
	})
	t.Run("test_nameplates", func(t *testing.T) {
		bubble(t, setup{}, func(t *testing.T, r *relay) {
			claim := func(side, nameplate string) { r.bind(t, "app", side).ask("claimed", "claim", "nameplate", nameplate) }
			claim("side1", "1") // both sides are old
			claim("side2", "1")
			claim("side1", "2") // the second is new
			elapse(8 * time.Minute)
			claim("side2", "2")
			long := strings.Repeat("4", 40)
			claim("side1", long)
			elapse(8 * time.Minute)
			expect(t, r.rows(t, `SELECT id FROM nameplates`), "2", long)
			expect(t, r.rows(t, `SELECT count(*) FROM mailboxes`), "2")
			for _, wrong := range []string{"letters", long + "4", ""} {
				r.bind(t, "app", "side1").refused("a nameplate is 1 to 40 of the digits 0-9", "claim", "nameplate", wrong)
			}
		})
	})
	t.Run("test_mailboxes", func(t *testing.T) {
		bubble(t, setup{}, func(t *testing.T, r *relay) {
			open := func(side, mailbox string) { r.bind(t, "app", side).opens(mailbox).leave() }
			open("side1", "old")
			open("side2", "old")
			open("side1", "revived")
			elapse(8 * time.Minute)
			open("side2", "revived")
			open("side1", "new")
			elapse(8 * time.Minute)
			expect(t, r.rows(t, `SELECT id FROM mailboxes`), "new", "revived")
		})
	})
	for _, nameplate := range []bool{false, true} {
		for _, old := range []bool{false, true} {
			for _, listener := range []bool{false, true} {
				t.Run(fmt.Sprintf("test_lots nameplate=%v old=%v listener=%v", nameplate, old, listener), func(t *testing.T) {
					bubble(t, setup{}, func(t *testing.T, r *relay) {
						born := func(now bool) {
							if elapse(6 * time.Minute); !now {
								return
							}
							a, mailbox := r.bind(t, "app", "side1"), "mb"
							if nameplate {
								mailbox = a.ask("claimed", "claim", "nameplate", "1").text("mailbox")
							}
							a.say("open", "mailbox", mailbox).add("p", "b")
							if !listener {
								a.leave()
							}
						}
						born(old)
						born(!old)
						elapse(8*time.Minute + 30*time.Second) // the last pruning was 30 s ago, and 10 s before the new one's time is over
						want, messages := map[bool]string{true: "1", false: "0"}, !old || listener
						expect(t, r.rows(t, `SELECT count(*) FROM mailboxes`), want[messages])
						expect(t, r.rows(t, `SELECT count(*) FROM messages`), want[messages])
						expect(t, r.rows(t, `SELECT count(*) FROM nameplates`), want[messages && nameplate])
					})
				})
			}
		}
	}
}
