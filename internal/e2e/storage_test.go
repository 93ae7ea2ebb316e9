package e2e_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"testing"
	"time"

	"restante/internal/e2e"
	"restante/internal/testclient"
)

// outage is a time without storage, while clients talk and one leaves large
// messages: from when the storage goes away until it is back, everybody is told to try
// again, the operators are told why, and the server stays; then it recovers by itself,
// and nothing that it had acknowledged is gone. reads is how a read is answered meanwhile.
func outage(t *testing.T, s *e2e.Server, reads int, away, back func()) {
	t.Helper()
	ctx := e2e.Context(t)
	large := &e2e.Member{Client: e2e.NewClient(s, "large"), Mailbox: "large", Mark: "mail-of-large", Size: 32 << 10}
	if err := large.Handshake(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := large.Command(ctx, http.MethodPut, "/v1/mailboxes/large", nil); err != nil {
		t.Fatal(err)
	}
	for k := range 5 {
		a, err := large.Command(ctx, http.MethodPost, "/v1/mailboxes/large/messages", large.Message(k))
		if err != nil {
			t.Fatal(err)
		}
		note(t, large, a)
	}
	talk := e2e.StartConversation(ctx, e2e.NewPairs(s, 3))
	e2e.Eventually(t, "they talk", func() bool { return talk.Said() > 50 })

	away()
	pending := int64(-1) // the command that was told to try again
	for pending < 0 {
		if len(large.Said) == 1000 {
			t.Fatal("the storage is away, and still a thousand messages were taken")
		}
		pending = mustWait(ctx, t, large, len(large.Said))
	}
	gone := time.Now()
	var looks, red int
	e2e.Eventually(t, "the storage has been away for a while", func() bool {
		looks++
		a := s.Get("/readyz")
		if a.Status != http.StatusOK {
			red++
			if p, err := testclient.ParseProblem(a); err != nil || p.Code != "STORAGE_UNAVAILABLE" || p.Action != "retry" {
				t.Fatalf("readyz: %d %s (%v)", a.Status, a.Body, err)
			}
		}
		if status := s.Status(); status.Ready || status.Storage != "unavailable" {
			t.Fatalf("status: %+v", status)
		}
		return time.Since(gone) > 2500*time.Millisecond
	})
	if red != looks {
		t.Errorf("not ready was told %d times of %d while the storage was away", red, looks)
	}
	if s.Exited() {
		t.Fatal("the server is gone with its storage")
	}
	talk.MustGoOn(t)
	read, err := large.Once(ctx, http.MethodGet, "/v1/mailboxes/large/messages?limit=1", nil, nil)
	if err != nil || read.Status != reads {
		t.Errorf("a read was answered %d %.200s (%v), want %d", read.Status, read.Body, err, reads)
	}

	back()
	returned := time.Now()
	e2e.Eventually(t, "the server is ready again", func() bool { return s.Get("/readyz").Status == http.StatusOK })
	recovered := time.Since(returned)
	if status := s.Status(); status.Storage != "ok" {
		t.Errorf("ready, with status %+v", status)
	}
	k := len(large.Said)
	a, err := large.SendAgain(ctx, 1, pending, http.MethodPost, "/v1/mailboxes/large/messages", large.Message(k))
	if err != nil {
		t.Fatal(err)
	}
	note(t, large, a)
	before := talk.Said()
	e2e.Eventually(t, "they talk again", func() bool { return talk.Said() > before+20 })
	total := talk.End(ctx, t)
	if err := e2e.CheckLog(ctx, large); err != nil {
		t.Error(err)
	}
	t.Logf("ready again %v after the storage was back; %d small and %d large messages, all there (%d requests told to try again)",
		recovered.Round(time.Millisecond), talk.Said(), len(large.Said), total.Refused.Load())
}

// mustWait adds the k-th message once. It answers the number of the command if it was told to try
// again, as it must be if it was not done, or else -1.
func mustWait(ctx context.Context, t *testing.T, m *e2e.Member, k int) int64 {
	t.Helper()
	n := m.Number()
	a, err := m.Once(ctx, http.MethodPost, "/v1/mailboxes/"+m.Mailbox+"/messages", map[string]string{"Seq": strconv.FormatInt(n, 10)}, m.Message(k))
	if err != nil {
		t.Fatal(err)
	}
	if a.Status == http.StatusCreated {
		note(t, m, a)
		return -1
	}
	p, err := testclient.ParseProblem(a)
	if err != nil {
		t.Fatal(err)
	}
	if p.Status != http.StatusServiceUnavailable || p.Code != "STORAGE_UNAVAILABLE" || p.Action != "retry" || !p.Retriable || a.Header.Get("Retry-After") == "" {
		t.Fatalf("without storage, an add was answered %v %+v", p, a.Header)
	}
	return n
}

// note remembers where a message was said to be.
func note(t *testing.T, m *e2e.Member, a testclient.Answer) {
	t.Helper()
	var position int64
	if _, err := fmt.Sscanf(string(a.Body), `{"position":%d,`, &position); err != nil {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	m.Said = append(m.Said, position)
}

// TestDatabaseGoesAway moves the database away while the server runs, and back.
func TestDatabaseGoesAway(t *testing.T) {
	t.Parallel()
	s := e2e.Serve(t)
	move := func(from, to string) func() {
		return func() {
			for _, file := range []string{"", "-wal", "-shm"} {
				if err := os.Rename(from+file, to+file); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	elsewhere := s.Database + ".away"
	outage(t, s, http.StatusServiceUnavailable, move(s.Database, elsewhere), move(elsewhere, s.Database))
}
