package rendezvous_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"restante/rendezvous"
	"restante/repo"
	"restante/repo/pgtest"
	"restante/session"
)

// world is a Service on a real database, with its loops running. In a bubble
// of synctest its clock is virtual, so durations are exact.
type world struct {
	*rendezvous.Service
	t     testing.TB
	path  string
	store *repo.DB
	stop  func()
}

// bubble runs a test of a world in virtual time, on each engine.
func bubble(t *testing.T, config func(*rendezvous.Config), test func(t *testing.T, w *world)) {
	t.Helper()
	bubbleOn(t, config, nil, test)
}

// bubbleOn is bubble, with something between the service and its store.
func bubbleOn(t *testing.T, config func(*rendezvous.Config), wrap func(rendezvous.Store) rendezvous.Store, test func(t *testing.T, w *world)) {
	t.Helper()
	onEngines(t, func(t *testing.T, path string) {
		w := open(t, path, config, wrap)
		defer func() { w.stop() }()
		test(t, w)
	})
}

// onEngines runs a test in virtual time with a new database of each engine.
func onEngines(t *testing.T, test func(t *testing.T, path string)) {
	t.Helper()
	engines := []struct {
		name string
		make func(*testing.T) (path string)
	}{
		{"SQLite", func(t *testing.T) string { return filepath.Join(t.TempDir(), "restante.db") }},
		{"PostgreSQL", newPostgres},
	}
	if testing.Short() {
		engines = engines[:1]
	}
	for _, engine := range engines {
		t.Run(engine.name, func(t *testing.T) {
			path := engine.make(t)
			synctest.Test(t, func(t *testing.T) { test(t, path) })
		})
	}
}

// fresh is the URL of a database that the others are copied from.
var fresh struct {
	sync.Mutex
	url string
}

// newPostgres returns the URL of a new database.
func newPostgres(t *testing.T) string {
	t.Helper()
	c := pgtest.Shared(t)
	fresh.Lock()
	defer fresh.Unlock()
	if fresh.url == "" {
		c.Exec(t, "postgres", "CREATE DATABASE fresh")
		store, err := repo.Open(t.Context(), repo.Options{URL: c.URL("fresh"), Now: func() time.Time { return time.UnixMilli(0) }})
		if err != nil {
			t.Fatal(err)
		}
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
		fresh.url = c.URL("fresh")
	}
	return c.Copy(t, fresh.url)
}

// TestMain stops PostgreSQL after the tests.
func TestMain(m *testing.M) {
	code := m.Run()
	pgtest.Stop()
	os.Exit(code)
}

// open starts a world on a database. wrap may put something between it and the store.
func open(t testing.TB, path string, config func(*rendezvous.Config), wrap func(rendezvous.Store) rendezvous.Store) *world {
	t.Helper()
	_, measures := t.(*testing.B)
	store, err := repo.Open(t.Context(), repo.Options{URL: path, Now: time.Now, Log: silent, CompareRemembered: !measures})
	if err != nil {
		t.Fatal(err)
	}
	s := &rendezvous.Service{Config: rendezvous.DefaultConfig(), Store: store, Log: silent}
	s.Config.BootGrace, s.Config.NameplateRest = 0, 0 // a test that is about one says so
	if config != nil {
		config(&s.Config)
	}
	if wrap != nil {
		s.Store = wrap(store)
	}
	return run(t, path, store, s)
}

// loopKey marks the context of a service's loops.
type loopKey struct{}

// ofLoop reports whether one of the service's loops asks, and not the test: a store that changes what the test's next
// transaction does lets those of the loops pass, which run beside the test.
func ofLoop(ctx context.Context) bool { return ctx.Value(loopKey{}) != nil }

// run starts a world on a store that is open.
func run(t testing.TB, path string, store *repo.DB, s *rendezvous.Service) *world {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithValue(context.Background(), loopKey{}, true))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.Run(ctx)
	}()
	w := &world{Service: s, t: t, path: path, store: store}
	w.stop = func() {
		cancel()
		<-ended
		if err := store.Close(); err != nil {
			t.Error(err)
		}
		w.stop = func() {}
	}
	return w
}

// restart stops the service and starts another on the same database.
func (w *world) restart(config func(*rendezvous.Config)) {
	w.t.Helper()
	w.stop()
	*w = *open(w.t, w.path, config, nil)
}

// crash replaces the service by one that remembers nothing. The old one writes what it remembers once
// time passes, so a test that is about its loss lets none pass.
func (w *world) crash() {
	w.Service = &rendezvous.Service{Config: w.Config, Store: w.Store, Log: silent}
}

var silent = slog.New(slog.DiscardHandler)

// client is a session that is driven by hand.
type client struct {
	w     *world
	id    session.ID
	key   session.Key
	app   rendezvous.AppID
	side  rendezvous.Side
	epoch session.Epoch
	wait  time.Duration
}

const app = rendezvous.AppID("example.org/test")

// begin begins a new session of a side.
func (w *world) begin(side rendezvous.Side) *client {
	w.t.Helper()
	c := &client{w: w, id: session.NewID(), app: app, side: side}
	c.key = c.id.Key()
	c.must(c.shake(0, 0))
	return c
}

// shake shakes hands with the given counters.
func (c *client) shake(expected, sent session.Seq) error {
	welcome, err := c.w.Handshake(context.Background(), rendezvous.Handshake{ID: c.id, App: c.app, Side: c.side, NextExpected: expected, NextSent: sent})
	if err == nil {
		c.epoch, c.wait = welcome.Epoch, welcome.NextWait
	}
	return err
}

func (c *client) must(err error) {
	c.w.t.Helper()
	if err != nil {
		c.w.t.Fatal(err)
	}
}

func (c *client) command() rendezvous.Command { return rendezvous.Command{Session: c.key} }

func (c *client) allocate() rendezvous.Claimed {
	c.w.t.Helper()
	a, err := c.w.Allocate(context.Background(), c.command(), 0)
	c.must(err)
	return a.Result
}

func (c *client) claim(id rendezvous.NameplateID) rendezvous.Claimed {
	c.w.t.Helper()
	a, err := c.w.Claim(context.Background(), c.command(), id, 0)
	c.must(err)
	return a.Result
}

func (c *client) open(id rendezvous.MailboxID) rendezvous.MailboxView {
	c.w.t.Helper()
	a, err := c.w.Open(context.Background(), c.command(), id, rendezvous.OpenRequest{})
	c.must(err)
	return a.Result
}

func (c *client) add(id rendezvous.MailboxID, body string) rendezvous.Position {
	c.w.t.Helper()
	a, err := c.w.Add(context.Background(), c.command(), id, rendezvous.Draft{Phase: "p", Body: body})
	c.must(err)
	return a.Result.Position
}

func (c *client) close(id rendezvous.MailboxID, mood rendezvous.Mood) {
	c.w.t.Helper()
	_, err := c.w.Close(context.Background(), c.command(), id, mood)
	c.must(err)
}

// poll receives from ack on, in the client's epoch.
func (c *client) poll(ctx context.Context, ack session.Seq) (rendezvous.Delivery, error) {
	epoch := c.epoch
	return c.w.Receive(ctx, rendezvous.ReceiveRequest{Session: c.key, Ack: &ack, Epoch: &epoch})
}

// receive polls until there are frames, as a client does that only ever answers.
func (c *client) receive(ack session.Seq) []frame {
	c.w.t.Helper()
	for {
		got, err := c.poll(context.Background(), ack)
		c.must(err)
		if len(got.Frames) > 0 {
			return frames(c.w.t, got)
		}
	}
}

// frame is a frame as a client reads it.
type frame struct {
	Seq      session.Seq
	Type     string
	Mailbox  string
	Position rendezvous.Position
	Side     string
	Body     string
	Mood     string
	State    string
	Reason   string
	Last     rendezvous.Position `json:"lastPosition"`
}

func frames(t testing.TB, got rendezvous.Delivery) []frame {
	t.Helper()
	all := make([]frame, len(got.Frames))
	for i, raw := range got.Frames {
		if err := json.Unmarshal(raw, &all[i]); err != nil {
			t.Fatalf("frame %s: %v", raw, err)
		}
	}
	return all
}

// code returns the code of a failure, or "" for success.
func code(t testing.TB, err error) rendezvous.Code {
	t.Helper()
	if err == nil {
		return ""
	}
	var failure *rendezvous.Failure
	if !errors.As(err, &failure) {
		t.Fatalf("not a Failure: %v", err)
	}
	return failure.Code
}

// state returns the name of a session's state.
func (w *world) state(k session.Key) string {
	w.t.Helper()
	state, err := w.State(context.Background(), k)
	if err != nil {
		return string(code(w.t, err))
	}
	switch s := state.(type) {
	case session.Attached:
		return "attached"
	case session.Detached:
		return "detached"
	case session.Closed:
		return "closed: " + string(s.Reason)
	}
	panic("unreachable")
}

func newID() session.ID { return session.NewID() }

// openAt starts a world in which the time is now.
func openAt(t testing.TB, path string, now func() time.Time) *world {
	t.Helper()
	store, err := repo.Open(t.Context(), repo.Options{URL: path, Log: silent, Now: now, CompareRemembered: true})
	if err != nil {
		t.Fatal(err)
	}
	s := &rendezvous.Service{Config: rendezvous.DefaultConfig(), Store: store, Log: silent, Now: now}
	ctx, cancel := context.WithCancel(context.WithValue(context.Background(), loopKey{}, true))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.Run(ctx)
	}()
	return &world{Service: s, t: t, path: path, store: store, stop: func() {
		cancel()
		<-ended
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	}}
}

// expect compares a result with what it should be.
func expect[T comparable](t testing.TB, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("got %v, want %v", got, want)
	}
}
