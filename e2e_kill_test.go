package main

import (
	"context"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
)

// TestKillNine kills the server again and again while fifty clients talk, and
// holds it to what it promises: nothing acknowledged is lost, everything happens exactly
// once and in order, and no session ends.
func TestKillNine(t *testing.T) { // alone: it is about time
	const pairs, kills = 25, 10
	s := newServer(t, "--drain=0s")
	s.start()
	s.ready()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()

	began := time.Now()
	talk := begin(ctx, pairsOf(s, pairs))
	starting := 0
	for kill := range kills {
		// At any moment: while all talk, while they come back, and every third time while it starts.
		load := 300*time.Millisecond + rand.N(2*time.Second)
		if kill%3 == 2 {
			load = rand.N(60 * time.Millisecond)
		} else {
			s.ready()
		}
		if err := pause(ctx, load); err != nil {
			t.Fatal(err)
		}
		talk.goesOn(t)
		if served := s.kill(); !served {
			starting++
		}
		s.start()
	}
	s.ready()
	killed := time.Since(began)
	if err := pause(ctx, 300*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	total := talk.end(ctx, t)
	least := int64(kills)
	for _, p := range talk.couples {
		least = min(least, p[0].count.resumed.Load(), p[1].count.resumed.Load())
	}
	if least == 0 {
		t.Error("a client never resumed its session")
	}
	if err := all(talk.couples, func(p pair) error { return p.part(ctx) }); err != nil {
		t.Fatal(err)
	}
	s.signal(syscall.SIGTERM)
	if code := s.wait(20 * time.Second); code != 0 {
		t.Errorf("exit code %d", code)
	}
	empty(t, s, map[string]int{"usage_nameplates": pairs, "usage_mailboxes": pairs})
	t.Logf("%d kills in %v (%d while starting), %d clients: %d messages, each delivered once; %d frames came again, "+
		"%d sessions resumed (each client's at least %d times), %d requests lost, %d told to try again (%d gaps), %d replies replayed; all in %v",
		kills, killed.Round(time.Millisecond), starting, 2*pairs, talk.said(), total.again.Load(), total.resumed.Load(), least,
		total.lost.Load(), total.refused.Load(), total.gaps.Load(), total.replayed.Load(), time.Since(began).Round(time.Millisecond))
}

// TestKilledWhileMade kills the server while it makes its database. What it
// leaves behind is what the next one goes on from.
func TestKilledWhileMade(t *testing.T) {
	t.Parallel()
	early := 0
	for range 6 {
		s := newServer(t, "--drain=0s")
		s.start()
		if err := pause(t.Context(), rand.N(120*time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		if !s.kill() {
			early++
		}
		s.start()
		s.ready()
		s.signal(syscall.SIGTERM)
		if code := s.wait(10 * time.Second); code != 0 {
			t.Errorf("exit code %d", code)
		}
	}
	t.Logf("%d of 6 were killed before they served", early)
}

// empty holds that nothing is left in the database file of nameplates,
// mailboxes and all that hangs on them, and that it is sound. Of usage it has so many rows, all happy.
// It opens the file as somebody else would who may only read.
func empty(t *testing.T, s *server, usage map[string]int) {
	t.Helper()
	db, err := sqlx.Open("sqlite", "file:"+s.database+"?mode=ro")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	count := func(query string) (n int) {
		t.Helper()
		if err := db.Get(&n, query); err != nil {
			t.Fatalf("%s: %v", query, err)
		}
		return n
	}
	for _, table := range []string{"nameplates", "claims", "mailboxes", "mailbox_sides", "messages", "subscriptions"} {
		if n := count("SELECT COUNT(*) FROM " + table); n != 0 {
			t.Errorf("%d rows are left in %s", n, table)
		}
	}
	for table, want := range usage {
		if n := count("SELECT COUNT(*) FROM " + table); n != want {
			t.Errorf("%d rows in %s, want %d", n, table, want)
		}
		if n := count("SELECT COUNT(*) FROM " + table + " WHERE result = 'happy' AND waiting >= 0 AND total >= waiting"); n != want {
			t.Errorf("%d happy rows in %s, want %d", n, table, want)
		}
	}
	var check string
	if err := db.Get(&check, "PRAGMA integrity_check"); err != nil || check != "ok" {
		t.Errorf("integrity_check: %s (%v)", check, err)
	}
}
