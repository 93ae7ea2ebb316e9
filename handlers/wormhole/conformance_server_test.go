package wormhole_test

import (
	"crypto/rand"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"restante/handlers/handlerstest"
	"restante/handlers/welcome"
	"restante/rendezvous"
)

// elapse lets time pass, in a bubble.
func elapse(d time.Duration) { <-time.After(d) }

// usage is what is remembered: when it started since a moment, how long it waited and lasted, in seconds, and its result.
func usage(t testing.TB, r *handlerstest.Server, of string, since time.Time) []string {
	t.Helper()
	return r.Rows(t, fmt.Sprintf(`SELECT (started - %d) / 1000, waiting / 1000, total / 1000, result FROM usage_%s`, since.UnixMilli(), of))
}

// test_server: what is stored.
func TestWormholeConformanceServer(t *testing.T) {
	t.Run("Server.test_apps", func(t *testing.T) {
		r := handlerstest.Start(t, handlerstest.Options{})
		one := r.Bind(t, "app1", "a").Request("claimed", "claim", "nameplate", "1").Text("mailbox")
		same := r.Bind(t, "app1", "b").Request("claimed", "claim", "nameplate", "1").Text("mailbox")
		other := r.Bind(t, "app2", "b").Request("claimed", "claim", "nameplate", "1").Text("mailbox")
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
			r := handlerstest.Start(t, handlerstest.Options{})
			for i := range 4 {
				r.Bind(t, "app", strconv.Itoa(i)).Request("allocated", "allocate")
			}
			// Deviation (5.1): it is told, and may go on, instead of being cut off. The words go on after the reference's.
			c := r.Bind(t, "app", "late")
			c.Refused("unable to find a free nameplate: all of them are taken; try again later, or claim a longer one", "allocate")
			c.Request("claimed", "claim", "nameplate", "12345678")
		})
	})
	t.Run("test_nameplate", func(t *testing.T) {
		handlerstest.Bubble(t, handlerstest.Options{}, func(t *testing.T, r *handlerstest.Server) {
			start := time.Now()
			a := r.Bind(t, "app", "side1")
			nameplate := a.Request("allocated", "allocate").Text("nameplate")
			query := `SELECT side, since - ` + strconv.FormatInt(start.UnixMilli(), 10) + `, released IS NOT NULL FROM claims`
			elapse(time.Second)
			mailbox := a.Request("claimed", "claim", "nameplate", nameplate).Text("mailbox")
			handlerstest.EqualRows(t, r.Rows(t, query), "side1 0 0") // claiming again does not change since when
			elapse(2 * time.Second)
			b := r.Bind(t, "app", "side2")
			if got := b.Request("claimed", "claim", "nameplate", nameplate).Text("mailbox"); got != mailbox {
				t.Errorf("the second side gets %s, want %s", got, mailbox)
			}
			elapse(time.Second)
			// Deviation (5.10): the third side is refused, but no row is kept of it.
			r.Bind(t, "app", "side3").Refused("crowded", "claim", "nameplate", nameplate)
			handlerstest.EqualRows(t, r.Rows(t, query), "side1 0 0", "side2 3000 0")
			elapse(time.Second)
			a.Request("released", "release")
			r.Bind(t, "app", "side1").Request("released", "release", "nameplate", nameplate)
			r.Bind(t, "app", "side4").Request("released", "release", "nameplate", nameplate) // which has no claim
			handlerstest.EqualRows(t, r.Rows(t, query), "side1 0 1", "side2 3000 0")
			elapse(2 * time.Second)
			// Deviation (5.23): it is free when its two sides have released, whatever the third does.
			b.Request("released", "release")
			handlerstest.EqualRows(t, r.Rows(t, query))
			handlerstest.EqualRows(t, usage(t, r, "nameplates", start), "0 3 7 crowded")
		})
	})
	t.Run("test_mailbox", func(t *testing.T) {
		handlerstest.Bubble(t, handlerstest.Options{}, func(t *testing.T, r *handlerstest.Server) {
			start := time.Now()
			query := `SELECT side, opened - ` + strconv.FormatInt(start.UnixMilli(), 10) + `, mood FROM mailbox_sides`
			a := r.Bind(t, "app", "side1").Send("open", "mailbox", "mb")
			elapse(time.Second)
			again := r.Bind(t, "app", "side1").Send("open", "mailbox", "mb")
			handlerstest.EqualRows(t, r.Rows(t, query), "side1 0 -")
			elapse(2 * time.Second)
			b := r.Bind(t, "app", "side2").Send("open", "mailbox", "mb")
			elapse(time.Second)
			// Deviation (5.10): no row is kept of the third side.
			r.Bind(t, "app", "side3").Refused("crowded", "open", "mailbox", "mb")
			handlerstest.EqualRows(t, r.Rows(t, query), "side1 0 -", "side2 3000 -")
			a.Request("closed", "close", "mood", "happy")
			r.Bind(t, "app", "side1").Request("closed", "close", "mailbox", "mb")
			r.Bind(t, "app", "side4").Request("closed", "close", "mailbox", "mb") // which is not in it
			handlerstest.EqualRows(t, r.Rows(t, query), "side1 0 happy", "side2 3000 -")
			elapse(3 * time.Second)
			b.Request("closed", "close", "mood", "happy")
			again.WantGone("mb") // deviation (5.27): there, it waits for ever
			handlerstest.EqualRows(t, r.Rows(t, query))
			handlerstest.EqualRows(t, usage(t, r, "mailboxes", start), "0 3 7 crowded")
			handlerstest.EqualRows(t, r.Rows(t, `SELECT count(*) FROM mailboxes`), "0")
		})
	})
	t.Run("test_messages", func(t *testing.T) {
		r := handlerstest.Start(t, handlerstest.Options{})
		a := r.Bind(t, "app", "side1").Send("open", "mailbox", "mb")
		a.Add("phase", "one")
		a.Add("phase", "two")
		b := r.Bind(t, "app", "side2").Send("open", "mailbox", "mb")
		b.WantMessages("one", "two")
		a.Add("phase", "three")
		b.WantMessages("three")
		b.Request("closed", "close")
		a.Add("phase", "four")
		a.Add("phase", "four") // nothing is taken for a repetition
		b.WantNothing()
		handlerstest.EqualRows(t, r.Rows(t, `SELECT count(*) FROM messages`), "5")
	})
	t.Run("test_early_close", func(t *testing.T) {
		r := handlerstest.Start(t, handlerstest.Options{})
		a := r.Bind(t, "app", "side1")
		nameplate := a.Request("allocated", "allocate").Text("nameplate")
		mailbox := a.Request("claimed", "claim", "nameplate", nameplate).Text("mailbox")
		a.Send("open", "mailbox", mailbox)
		a.Request("closed", "close", "mood", "happy")
		a.Request("released", "release")
		for _, table := range []string{"mailboxes", "nameplates", "mailbox_sides", "claims"} {
			handlerstest.EqualRows(t, r.Rows(t, `SELECT count(*) FROM `+table), "0")
		}
	})
	for name, settings := range map[string]welcome.Settings{"test_nameplate_disallowed": {DisallowList: true}, "test_nameplate_allowed": {}} {
		t.Run(name, func(t *testing.T) {
			r := handlerstest.Start(t, handlerstest.Options{Settings: settings})
			r.Bind(t, "app", "a").Request("claimed", "claim", "nameplate", "4")
			want := []string{"4"}
			if settings.DisallowList {
				want = nil
			}
			handlerstest.EqualRows(t, r.Bind(t, "app", "b").List(), want...)
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
			got := handlerstest.Start(t, handlerstest.Options{Settings: tt.settings}).Connect(t).Welcome.At("welcome").(map[string]any)
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
	r := handlerstest.Start(t, handlerstest.Options{})
	allocate := func() int {
		nameplate := r.Bind(t, "app", rand.Text()).Request("allocated", "allocate").Text("nameplate")
		number, err := strconv.Atoi(nameplate)
		if err != nil || strconv.Itoa(number) != nameplate {
			t.Fatalf("it allocates %q", nameplate)
		}
		return number
	}
	r.Exec(t, `INSERT INTO mailboxes (key, app, id, created, updated, ttl, stale_at, for_nameplate, crowded, last_position, bytes)
		VALUES (1, 'app', 'shared', 0, 0, 1, 4102444800000, 0, 0, 0, 0)`)
	fill := func(low, high int) { // behind the server's back, since that is quicker
		r.Exec(t, `WITH RECURSIVE numbers (n) AS (VALUES (?) UNION ALL SELECT n + 1 FROM numbers WHERE n < ?)
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
		handlerstest.Bubble(t, handlerstest.Options{}, func(t *testing.T, r *handlerstest.Server) {
			start := time.Now()
			updated := func() string {
				t.Helper()
				return strings.Join(r.Rows(t, fmt.Sprintf(`SELECT (updated - %d) / 1000 FROM mailboxes`, start.UnixMilli())), ",")
			}
			steps := []func(){
				func() { r.Bind(t, "app", "side1").Open("mb").Drop() },
				func() { r.Bind(t, "app", "side2").Open("mb").Drop() },
				func() { r.Bind(t, "app", "side1").Send("open", "mailbox", "mb").Add("p", "b") },
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
		handlerstest.Bubble(t, handlerstest.Options{}, func(t *testing.T, r *handlerstest.Server) {
			claim := func(side, nameplate string) {
				r.Bind(t, "app", side).Request("claimed", "claim", "nameplate", nameplate)
			}
			claim("side1", "1") // both sides are old
			claim("side2", "1")
			claim("side1", "2") // the second is new
			elapse(8 * time.Minute)
			claim("side2", "2")
			long := strings.Repeat("4", 40)
			claim("side1", long)
			elapse(8 * time.Minute)
			handlerstest.EqualRows(t, r.Rows(t, `SELECT id FROM nameplates`), "2", long)
			handlerstest.EqualRows(t, r.Rows(t, `SELECT count(*) FROM mailboxes`), "2")
			for _, wrong := range []string{"letters", long + "4", ""} {
				r.Bind(t, "app", "side1").Refused("a nameplate is 1 to 40 of the digits 0-9", "claim", "nameplate", wrong)
			}
		})
	})
	t.Run("test_mailboxes", func(t *testing.T) {
		handlerstest.Bubble(t, handlerstest.Options{}, func(t *testing.T, r *handlerstest.Server) {
			open := func(side, mailbox string) { r.Bind(t, "app", side).Open(mailbox).Drop() }
			open("side1", "old")
			open("side2", "old")
			open("side1", "revived")
			elapse(8 * time.Minute)
			open("side2", "revived")
			open("side1", "new")
			elapse(8 * time.Minute)
			handlerstest.EqualRows(t, r.Rows(t, `SELECT id FROM mailboxes`), "new", "revived")
		})
	})
	for _, nameplate := range []bool{false, true} {
		for _, old := range []bool{false, true} {
			for _, listener := range []bool{false, true} {
				t.Run(fmt.Sprintf("test_lots nameplate=%v old=%v listener=%v", nameplate, old, listener), func(t *testing.T) {
					handlerstest.Bubble(t, handlerstest.Options{}, func(t *testing.T, r *handlerstest.Server) {
						born := func(now bool) {
							if elapse(6 * time.Minute); !now {
								return
							}
							a, mailbox := r.Bind(t, "app", "side1"), "mb"
							if nameplate {
								mailbox = a.Request("claimed", "claim", "nameplate", "1").Text("mailbox")
							}
							a.Send("open", "mailbox", mailbox).Add("p", "b")
							if !listener {
								a.Drop()
							}
						}
						born(old)
						born(!old)
						elapse(8*time.Minute + 30*time.Second) // the last pruning was 30 s ago, and 10 s before the new one's time is over
						want, messages := map[bool]string{true: "1", false: "0"}, !old || listener
						handlerstest.EqualRows(t, r.Rows(t, `SELECT count(*) FROM mailboxes`), want[messages])
						handlerstest.EqualRows(t, r.Rows(t, `SELECT count(*) FROM messages`), want[messages])
						handlerstest.EqualRows(t, r.Rows(t, `SELECT count(*) FROM nameplates`), want[messages && nameplate])
					})
				})
			}
		}
	}
}
