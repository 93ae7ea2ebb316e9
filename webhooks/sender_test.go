package webhooks_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"restante/internal/testgate"
	"restante/rendezvous"
	"restante/repo"
	"restante/repo/pgtest"
	"restante/webhooks"
)

const (
	app   = "example.org/hooked"
	limit = 4 * time.Minute // for what would otherwise hang
)

// told is what a receiver was told.
type told struct {
	ID, Type, Mailbox string
	Position          int64
	Body, Reason      string
}

// receiver is a webhook's other end. It answers what answer says for the nth request, 204 by default.
type receiver struct {
	*httptest.Server
	answer func(n int) (status int)
	silent bool // it never answers

	mu   sync.Mutex
	all  []told
	came chan struct{}
}

func newReceiver(t *testing.T, answer func(n int) int) *receiver {
	t.Helper()
	r := &receiver{answer: answer, came: make(chan struct{}, 1000)}
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	var body struct {
		Type string
		Data struct {
			Mailbox, Body, Reason string
			Position              int64
		}
	}
	text, _ := io.ReadAll(req.Body)
	_ = json.Unmarshal(text, &body)
	r.mu.Lock()
	r.all = append(r.all, told{req.Header.Get("Webhook-Id"), body.Type, body.Data.Mailbox, body.Data.Position, body.Data.Body, body.Data.Reason})
	n := len(r.all)
	r.mu.Unlock()
	defer func() { r.came <- struct{}{} }()
	if r.silent {
		<-req.Context().Done()
		return
	}
	if req.URL.Path == "/elsewhere" || req.Header.Get("Webhook-Signature") == "" {
		w.WriteHeader(http.StatusTeapot)
		return
	}
	if r.answer != nil {
		if status := r.answer(n); status != 0 {
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(status)
			return
		}
	}
	w.WriteHeader(http.StatusNoContent)
}

// await waits until the receiver was asked n times, and returns what it was told.
func (r *receiver) await(t *testing.T, n int) []told {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	for {
		r.mu.Lock()
		all := slices.Clone(r.all)
		r.mu.Unlock()
		if len(all) >= n {
			return all
		}
		select {
		case <-r.came:
		case <-ctx.Done():
			t.Fatalf("the receiver was asked %d times, want %d: %+v", len(all), n, all)
		}
	}
}

// world is a service with webhooks, which run until stop.
type world struct {
	*rendezvous.Service
	*webhooks.Sender
	failing atomic.Int64 // so many more updates of the storage fail
	stop    func()
}

// failingStore is a store of a world that fails when told to.
type failingStore struct {
	rendezvous.Store
	failing *atomic.Int64
}

func (s failingStore) Update(ctx context.Context, f func(rendezvous.Tx) error) error {
	if s.failing.Load() > 0 && s.failing.Add(-1) >= 0 {
		return rendezvous.ErrUnavailable
	}
	return s.Store.Update(ctx, f)
}

// onEngines runs a test with the URL of a new database of each engine.
func onEngines(t *testing.T, test func(t *testing.T, database string)) {
	t.Helper()
	t.Run("SQLite", func(t *testing.T) {
		t.Parallel()
		test(t, filepath.Join(t.TempDir(), "restante.db"))
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		t.Parallel()
		testgate.Enter(t)
		test(t, pgtest.Database(t))
	})
}

// hooks is a file with the webhook of the app at an address.
func hooks(t *testing.T, address, more string) []webhooks.Webhook {
	t.Helper()
	list, err := webhooks.Parse([]byte(`{"webhooks": [{"app": "` + app + `", "url": "` + address + `", "secrets": ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]` + more + `}]}`))
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// start starts a process on a database, which tells the app's webhook at an address.
func start(t *testing.T, database, address, more string) *world {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	store, err := repo.Open(t.Context(), repo.Options{URL: database, Log: log, CompareRemembered: true})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{}
	w.Service = &rendezvous.Service{Config: rendezvous.DefaultConfig(), Store: failingStore{store, &w.failing}, Log: log}
	w.Sender = webhooks.NewSender(w.Service, hooks(t, address, more), log)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { w.Sender.Run(ctx) })
	w.stop = sync.OnceFunc(func() {
		cancel()
		running.Wait()
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(w.stop)
	return w
}

// local has a webhook reach the receiver on this machine, which may be slow to answer.
const local = `, "allow": ["127.0.0.0/8", "::1/128"], "timeoutMs": 60000`

// adds adds messages with the numbers from first to last in a mailbox.
func (w *world) adds(t *testing.T, mailbox string, first, last int) {
	t.Helper()
	ref := rendezvous.SideRef{App: app, Side: "a"}
	if _, err := w.OpenFor(t.Context(), ref, rendezvous.MailboxID(mailbox)); err != nil {
		t.Fatal(err)
	}
	for n := first; n <= last; n++ {
		if _, err := w.AddFor(t.Context(), ref, rendezvous.MailboxID(mailbox), []rendezvous.Draft{{Phase: "n", Body: strconv.Itoa(n)}}); err != nil {
			t.Fatal(err)
		}
	}
}

func (w *world) closes(t *testing.T, mailbox string) {
	t.Helper()
	if err := w.CloseFor(t.Context(), rendezvous.SideRef{App: app, Side: "a"}, rendezvous.MailboxID(mailbox), rendezvous.Happy); err != nil {
		t.Fatal(err)
	}
}

// inOrder fails unless each mailbox's messages came first in the order of their positions, whatever was repeated, and
// each id is one event.
func inOrder(t *testing.T, all []told) {
	t.Helper()
	next, ids := map[string]int64{}, map[string]string{}
	for _, e := range all {
		what := fmt.Sprint(e)
		if before, known := ids[e.ID]; known {
			if before != what {
				t.Errorf("%s was %s, and is %s", e.ID, before, what)
			}
			continue
		}
		ids[e.ID] = what
		if next[e.Mailbox]++; e.Type == "message.added" && (e.Position != next[e.Mailbox] || e.Body != strconv.FormatInt(e.Position, 10)) {
			t.Errorf("%s came as number %d", what, next[e.Mailbox])
		}
	}
}

// TestTold is a receiver that fails now and then: it is told all, in order, with the same ids.
func TestTold(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, database string) {
		r := newReceiver(t, func(n int) int { return map[bool]int{true: http.StatusInternalServerError}[n == 3] })
		w := start(t, database, r.URL, local)
		for _, mailbox := range []string{"one", "two"} {
			w.adds(t, mailbox, 1, 5)
			w.closes(t, mailbox)
		}
		all := r.await(t, 13) // 12 events, of which one twice
		inOrder(t, all)
		last := slices.IndexFunc(all, func(e told) bool { return e.Type == "mailbox.retired" && e.Mailbox == "two" })
		if last < 0 || all[last].Reason != "closed" || !strings.HasSuffix(all[last].ID, "_retired") {
			t.Errorf("the retirement of a mailbox is not told: %+v", all)
		}
		w.complete(t)
	})
}

// until waits until what is to be told is as it should be.
func (w *world) until(t *testing.T, is func(rendezvous.DispatchCounts) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		counts, err := w.DispatchCounts(ctx)
		if err != nil {
			t.Fatalf("%v: %+v", err, counts)
		}
		if is(counts) {
			return
		}
		<-tick.C
	}
}

// complete waits until nothing is left to tell, and the logs can be deleted.
func (w *world) complete(t *testing.T) {
	t.Helper()
	w.until(t, func(c rendezvous.DispatchCounts) bool { return c == rendezvous.DispatchCounts{} })
	ctx := t.Context()
	w.Prune(ctx)
	if counts := w.Status(ctx).Counts; counts.Messages != 0 {
		t.Errorf("%d messages are left of retired mailboxes", counts.Messages)
	}
}

// TestRestart is a process that stops while the receiver is away, and another one that goes on.
func TestRestart(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, database string) {
		r := newReceiver(t, func(n int) int { return map[bool]int{true: http.StatusServiceUnavailable}[n == 2] })
		w := start(t, database, r.URL, local)
		w.adds(t, "box", 1, 3)
		r.await(t, 2)
		w.stop()
		w = start(t, database, r.URL, local)
		w.adds(t, "box", 4, 4)
		w.closes(t, "box")
		inOrder(t, r.await(t, 6))
		w.complete(t)
	})
}

// TestSet replaces the webhook of an app while its receiver fails: the next one goes on where that stopped, at once. What an
// app without a webhook is still to be told waits.
func TestSet(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, database string) {
		failing := newReceiver(t, func(n int) int { return map[bool]int{true: http.StatusServiceUnavailable}[n > 2] })
		w := start(t, database, failing.URL, local)
		w.adds(t, "box", 1, 3)
		before := failing.await(t, 3)
		w.until(t, func(c rendezvous.DispatchCounts) bool { return c.Failing == 1 })
		w.Set(nil)
		next := newReceiver(t, nil)
		w.Set(hooks(t, next.URL, local))
		w.adds(t, "box", 4, 4)
		w.closes(t, "box")
		all := slices.Concat(before[:2], next.await(t, 3))
		if all[2].ID != before[2].ID {
			t.Errorf("%s is told as %s at the next address", before[2].ID, all[2].ID)
		}
		inOrder(t, all)
		w.complete(t)
	})
}

// TestSetDuringAnAttempt replaces a receiver that then says that it wants no more: that counts for it alone, and the next one
// is told at once.
func TestSetDuringAnAttempt(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, database string) {
		asked, replaced := make(chan struct{}), make(chan struct{})
		leaving := newReceiver(t, func(int) int {
			close(asked)
			<-replaced
			return http.StatusGone
		})
		answer := sync.OnceFunc(func() { close(replaced) })
		t.Cleanup(answer)
		w := start(t, database, leaving.URL, local)
		w.adds(t, "box", 1, 1)
		select {
		case <-asked:
		case <-time.After(limit):
			t.Fatal("the receiver was not asked")
		}
		next := newReceiver(t, nil)
		w.Set(hooks(t, next.URL, local))
		answer()
		next.await(t, 1)
		w.until(t, func(c rendezvous.DispatchCounts) bool { return c == rendezvous.DispatchCounts{} })
	})
}

// TestSetWhileTheStorageIsAway replaces a receiver that wants no more: the next one is told when the storage is back.
func TestSetWhileTheStorageIsAway(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, database string) {
		w := start(t, database, newReceiver(t, func(int) int { return http.StatusGone }).URL, local)
		w.adds(t, "box", 1, 1)
		w.until(t, func(c rendezvous.DispatchCounts) bool { return c.Abandoned == 1 })
		next := newReceiver(t, nil)
		w.failing.Store(1)
		w.Set(hooks(t, next.URL, local))
		next.await(t, 1)
	})
}

// TestReplicas is two processes that tell the same webhook: each event once, as none of them dies.
func TestReplicas(t *testing.T) {
	t.Parallel()
	testgate.Enter(t)
	database := pgtest.Database(t)
	r := newReceiver(t, nil)
	first, second := start(t, database, r.URL, local), start(t, database, r.URL, local)
	for n := 1; n <= 10; n++ {
		for _, mailbox := range []string{"one", "two", "three"} {
			first.adds(t, mailbox, n, n)
			first, second = second, first
		}
	}
	for _, mailbox := range []string{"one", "two", "three"} {
		first.closes(t, mailbox)
	}
	all := r.await(t, 33)
	inOrder(t, all)
	first.complete(t)
	if first.Stats().Told.Load()+second.Stats().Told.Load() != 33 {
		t.Errorf("%d and %d events were told", first.Stats().Told.Load(), second.Stats().Told.Load())
	}
}

// TestRefused are receivers of which nothing is accepted: no redirect is followed, no special address connected to.
func TestRefused(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, func(int) int { return http.StatusTemporaryRedirect })
	silent := newReceiver(t, nil)
	silent.silent = true
	port := r.URL[strings.LastIndex(r.URL, ":"):]
	const (
		fails   = iota
		refused // for the address
		gone    // nothing more is tried
		unknown // the address is refused, or not found: resolvers differ
	)
	for name, hook := range map[string]struct {
		address, more string
		ends          int
	}{
		"a redirect":                      {r.URL, local, fails},
		"loopback":                        {"https://127.0.0.1" + port, "", refused},
		"a name that leads to loopback":   {"https://localhost" + port, "", refused},
		"allowed, but another one":        {"http://localhost" + port, `, "allow": ["10.0.0.0/8"]`, refused},
		"loopback in another way":         {"https://0x7f.1" + port, `, "timeoutMs": 3000`, unknown},
		"a receiver that says no more":    {newReceiver(t, func(int) int { return http.StatusGone }).URL, local, gone},
		"a receiver that does not answer": {silent.URL, `, "allow": ["127.0.0.1/32"], "timeoutMs": 50`, fails},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := start(t, filepath.Join(t.TempDir(), "restante.db"), hook.address, hook.more)
			w.adds(t, "box", 1, 1)
			var counts rendezvous.DispatchCounts
			w.until(t, func(c rendezvous.DispatchCounts) bool { // on a slow machine, an attempt may fail for another reason first
				counts = c
				return c.Failing == 1 && (c.Abandoned == 1 || hook.ends != gone) && (w.Stats().Refused.Load() > 0 || hook.ends != refused)
			})
			if counts.Pending != 1 || counts.Abandoned == 1 && hook.ends != gone || w.Stats().Told.Load() != 0 {
				t.Errorf("%+v, and %d told", counts, w.Stats().Told.Load())
			}
			if n := w.Stats().Refused.Load(); n > 0 && hook.ends != refused && hook.ends != unknown {
				t.Errorf("refused for the address: %d", n)
			}
		})
	}
	t.Cleanup(func() {
		for _, e := range r.all {
			if e.Mailbox != "box" || len(r.all) > 20 {
				t.Errorf("the receiver was asked %+v", r.all)
			}
		}
	})
}
