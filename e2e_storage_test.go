package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"testing"
	"time"
)

// outage is a time without storage, while clients talk and one leaves large
// messages: from when the storage goes away until it is back, everybody is told to try
// again, the operators are told why, and the server stays; then it recovers by itself,
// and nothing that it had acknowledged is gone.
func outage(t *testing.T, s *server, away, back func()) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Second)
	defer cancel()
	large := &member{client: newClient(s, "large"), mailbox: "large", mark: "mail-of-large", size: 32 << 10}
	if err := large.shake(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := large.command(ctx, http.MethodPut, "/v1/mailboxes/large", nil); err != nil {
		t.Fatal(err)
	}
	for k := range 5 {
		a, err := large.command(ctx, http.MethodPost, "/v1/mailboxes/large/messages", large.message(k))
		if err != nil {
			t.Fatal(err)
		}
		large.note(t, a)
	}
	talk := begin(ctx, pairsOf(s, 3))
	eventually(t, 10*time.Second, "they talk", func() bool { return talk.said() > 50 })

	away()
	pending := int64(-1) // the command that was told to try again
	for pending < 0 {
		if len(large.said) == 1000 {
			t.Fatal("the storage is away, and still a thousand messages were taken")
		}
		pending = large.mustWait(ctx, t, len(large.said))
	}
	gone := time.Now()
	var looks, red int
	eventually(t, 10*time.Second, "the storage has been away for a while", func() bool {
		looks++
		a := s.get("/readyz")
		if a.status != http.StatusOK {
			red++
			if p, err := problemOf(a); err != nil || p.Code != "STORAGE_UNAVAILABLE" || p.Action != "retry" {
				t.Fatalf("readyz: %d %s (%v)", a.status, a.body, err)
			}
		}
		if status := s.status(); status.Ready || status.Storage != "unavailable" {
			t.Fatalf("status: %+v", status)
		}
		return time.Since(gone) > 2500*time.Millisecond
	})
	if red != looks {
		t.Errorf("not ready was told %d times of %d while the storage was away", red, looks)
	}
	if s.gone() {
		t.Fatal("the server is gone with its storage")
	}
	talk.goesOn(t)

	back()
	returned := time.Now()
	eventually(t, 10*time.Second, "the server is ready again", func() bool { return s.get("/readyz").status == http.StatusOK })
	recovered := time.Since(returned)
	if status := s.status(); status.Storage != "ok" {
		t.Errorf("ready, with status %+v", status)
	}
	k := len(large.said)
	a, err := large.sendAgain(ctx, 1, pending, http.MethodPost, "/v1/mailboxes/large/messages", large.message(k))
	if err != nil {
		t.Fatal(err)
	}
	large.note(t, a)
	before := talk.said()
	eventually(t, 10*time.Second, "they talk again", func() bool { return talk.said() > before+20 })
	total := talk.end(ctx, t)
	if err := compare(ctx, large); err != nil {
		t.Error(err)
	}
	t.Logf("ready again %v after the storage was back; %d small and %d large messages, all there (%d requests told to try again)",
		recovered.Round(time.Millisecond), talk.said(), len(large.said), total.refused.Load())
}

// mustWait adds the k-th message once. It answers the number of the command if it was told to try
// again, as it must be if it was not done, or else -1.
func (m *member) mustWait(ctx context.Context, t *testing.T, k int) int64 {
	t.Helper()
	n := m.number()
	a, err := m.once(ctx, http.MethodPost, "/v1/mailboxes/"+m.mailbox+"/messages", map[string]string{"Seq": strconv.FormatInt(n, 10)}, m.message(k))
	if err != nil {
		t.Fatal(err)
	}
	if a.status == http.StatusCreated {
		m.note(t, a)
		return -1
	}
	p, err := problemOf(a)
	if err != nil {
		t.Fatal(err)
	}
	if p.Status != http.StatusServiceUnavailable || p.Code != "STORAGE_UNAVAILABLE" || p.Action != "retry" || !p.Retriable || a.header.Get("Retry-After") == "" {
		t.Fatalf("without storage, an add was answered %v %+v", p, a.header)
	}
	return n
}

// note remembers where a message was said to be.
func (m *member) note(t *testing.T, a answer) {
	t.Helper()
	var position int64
	if _, err := fmt.Sscanf(string(a.body), `{"position":%d,`, &position); err != nil {
		t.Fatalf("%d %s", a.status, a.body)
	}
	m.said = append(m.said, position)
}

// TestDatabaseGoesAway has somebody move the database away from under the
// server, and back.
func TestDatabaseGoesAway(t *testing.T) {
	t.Parallel()
	s := serve(t)
	move := func(from, to string) func() {
		return func() {
			for _, file := range []string{"", "-wal", "-shm"} {
				if err := os.Rename(from+file, to+file); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	elsewhere := s.database + ".away"
	outage(t, s, move(s.database, elsewhere), move(elsewhere, s.database))
}
