package handlers_test

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"restante/handlers"
	"restante/handlers/welcome"
	"restante/rendezvous"
	"restante/repo"
)

// relay is a world that wormhole clients reach, too.
type relay struct {
	*world
	door *handlers.Server
	db   *sql.DB // the same file, opened a second time to look at it
}

// relaySetup is how a relay differs from a server that nobody configured.
type relaySetup struct {
	settings welcome.Settings
	config   func(*rendezvous.Config)
	limits   func(*handlers.Limits)
	wrap     func(rendezvous.Store) rendezvous.Store // stands between the service and its store
	now      func() time.Time
	proxies  []string
	level    slog.Level // of the log; the zero value is info
	path     string     // of a database that is there already
	piped    bool
}

// serve starts a relay.
func serve(t testing.TB, s relaySetup) *relay {
	t.Helper()
	w := &world{TB: t, path: s.path, logs: &logbook{}}
	if w.path == "" {
		w.path = filepath.Join(t.TempDir(), "restante.db")
		if err := os.WriteFile(w.path, emptyDatabase(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	log := slog.New(slog.NewJSONHandler(w.logs, &slog.HandlerOptions{Level: s.level}))
	store, err := repo.Open(t.Context(), repo.Options{URL: w.path, Now: s.now, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	w.cut = func() {
		if err := store.Close(); err != nil {
			t.Errorf("closing the database: %v", err)
		}
	}
	w.service = &rendezvous.Service{Config: rendezvous.DefaultConfig(), Store: store, Log: log, Now: s.now}
	w.service.Config.BootGrace = 0 // a test that is about it says so
	if s.wrap != nil {
		w.service.Store = s.wrap(store)
	}
	if s.config != nil {
		s.config(&w.service.Config)
	}
	limits := handlers.DefaultLimits()
	limits.Rate = 0
	if s.limits != nil {
		s.limits(&limits)
	}
	r := &relay{world: w, door: &handlers.Server{Service: w.service, Log: log, Version: "test", Started: time.Now(), Pages: packed(t, nil), Limits: limits}}
	for _, p := range s.proxies {
		r.door.TrustedProxies = append(r.door.TrustedProxies, netip.MustParsePrefix(p))
	}
	r.door.SetSettings(s.settings)
	where := url.URL{Scheme: "file", OmitHost: true, Path: w.path, RawQuery: "_pragma=busy_timeout(5000)"}
	if r.db, err = sql.Open("sqlite", where.String()); err != nil {
		t.Fatal(err)
	}
	r.db.SetMaxOpenConns(1)
	r.run(s.piped)
	return r
}

// emptyDatabase is the file that a server makes where there is none. To make it
// anew for each test would take most of the time.
var emptyDatabase = sync.OnceValue(func() []byte {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "empty.db")
	store, err := repo.Open(context.Background(), repo.Options{URL: path, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		panic(err)
	}
	if err := store.Close(); err != nil {
		panic(err)
	}
	empty, err := os.ReadFile(path)
	if err != nil {
		panic(err)
	}
	return empty
})

// run has the relay listen until the test ends.
func (r *relay) run(piped bool) {
	listener := r.listen(piped)
	server := &http.Server{Handler: r.door.Handler(), ReadHeaderTimeout: 10 * time.Second, ErrorLog: slog.NewLogLogger(r.door.Log.Handler(), slog.LevelDebug)}
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return r.dial(ctx) }, DisableCompression: true}
	r.http = &http.Client{Transport: transport}
	loops, endLoops := context.WithCancel(context.WithoutCancel(r.Context()))
	var running sync.WaitGroup
	running.Go(func() { r.service.Run(loops) })
	running.Go(func() { _ = server.Serve(listener) }) // ends when the server is closed
	r.Cleanup(func() {
		_ = server.Close()
		transport.CloseIdleConnections()
		patience, cancel := context.WithTimeout(loops, time.Minute)
		defer cancel()
		r.door.Wait(patience)
		if patience.Err() != nil {
			r.Error("a socket did not end with its client")
		}
		endLoops()
		running.Wait()
		_ = r.db.Close()
		r.cut()
		r.checkLog()
	})
}

// bubble runs a test of a relay in virtual time.
func bubble(t *testing.T, s relaySetup, test func(t *testing.T, r *relay)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s.piped = true
		test(t, serve(t, s))
	})
}

// rows are what is stored: the columns of each row with a space between them, - where there is nothing; sorted.
func (r *relay) rows(t testing.TB, query string) []string {
	t.Helper()
	found, err := r.db.QueryContext(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	defer found.Close()
	columns, _ := found.Columns()
	list := []string{}
	for found.Next() {
		values, into := make([]any, len(columns)), make([]any, len(columns))
		for i := range values {
			into[i] = &values[i]
		}
		if err := found.Scan(into...); err != nil {
			t.Fatal(err)
		}
		row := make([]string, len(columns))
		for i, v := range values {
			if row[i] = fmt.Sprint(v); v == nil {
				row[i] = "-"
			}
		}
		list = append(list, strings.Join(row, " "))
	}
	if err := found.Err(); err != nil {
		t.Fatal(err)
	}
	slices.Sort(list)
	return list
}

// nothing is sure that nothing is left but what usage says.
func (r *relay) nothing(t testing.TB) {
	t.Helper()
	for _, table := range []string{"nameplates", "claims", "mailboxes", "mailbox_sides", "messages"} {
		expect(t, r.rows(t, `SELECT * FROM `+table))
	}
}

// exec changes what is stored behind the server's back.
func (r *relay) exec(t testing.TB, query string, args ...any) {
	t.Helper()
	if _, err := r.db.ExecContext(t.Context(), query, args...); err != nil {
		t.Fatal(err)
	}
}

// expect compares rows with what they should be.
func expect(t testing.TB, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("the rows are %q, want %q", got, want)
	}
}

// holds waits until a query finds these rows: some things are written a moment later.
func (r *relay) holds(t testing.TB, query string, want ...string) {
	t.Helper()
	var got []string
	if !eventually(t, func() bool { got = r.rows(t, query); return slices.Equal(got, want) }) {
		t.Errorf("%s:\n%s", query, cmp.Diff(want, got))
	}
}

// eventually tells whether something comes true.
func eventually(t testing.TB, is func() bool) bool {
	t.Helper()
	for late := time.After(patience); !is(); {
		select {
		case <-late:
			return false
		case <-time.After(5 * time.Millisecond):
		}
	}
	return true
}

// patience is how long anything may take before a test fails.
const patience = 30 * time.Second
