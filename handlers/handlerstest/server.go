package handlerstest

import (
	"context"
	"database/sql"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"restante/handlers"
	"restante/handlers/welcome"
	"restante/internal/idleconn"
	"restante/internal/leaks"
	"restante/internal/testclient"
	"restante/internal/tracing"
	"restante/rendezvous"
	"restante/repo"
)

// Main runs the tests of a package that starts servers, and exits. Goroutines that are left fail it.
func Main(m *testing.M) {
	if _, err := emptyDatabase(); err != nil { // not for the first time inside of a bubble
		_, _ = os.Stderr.WriteString(err.Error() + "\n")
		os.Exit(1)
	}
	os.Exit(leaks.Run(m))
}

// emptyDatabase is the file that a server makes where there is none. To make it for each test would take most of the
// time.
var emptyDatabase = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "restante")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "empty.db")
	store, err := repo.Open(context.Background(), repo.Options{URL: path, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, err
	}
	if err := store.Close(); err != nil {
		return nil, err
	}
	return os.ReadFile(path)
})

// Server is a server under test: the real handlers, on a SQLite file of their own. When its test ends, it is stopped, and
// its log must not have a secret in it.
type Server struct {
	testing.TB
	Service    *rendezvous.Service
	Handlers   *handlers.Server
	Routes     http.Handler // what the server serves
	Path       string       // of the database
	HTTP       *http.Client
	Dial       func(context.Context) (net.Conn, error)
	Logs       *Logs
	CloseStore func() // takes the storage away

	db      func() *sql.DB // the same file, opened a second time to look at it
	mu      sync.Mutex
	secrets []string
}

// Options say how a server differs from one without flags.
type Options struct {
	Config          func(*rendezvous.Config)
	Limits          func(*handlers.Limits)
	Settings        welcome.Settings
	Admit           func(context.Context, rendezvous.ClientInfo) error
	VerifyToken     func(token string, now time.Time) (rendezvous.Grant, error) // nil: no token is asked for
	Wrap            func(rendezvous.Store) rendezvous.Store                     // stands between the service and its store
	Now             func() time.Time                                            // of the store and the service
	Path            string                                                      // of a database that exists
	Level           slog.Leveler                                                // of the log; the default is debug
	Proxies         []string
	ForwardedHeader string            // the header in which they name the client
	Pages           map[string]string // their files, by name
	Origins         []string
	Hosts           []string // that requests may be for
	BasePath        string
	Admin           bool            // there is an admin side: see [handlers.Server.AdminHandler]
	Tracer          *tracing.Tracer // nil traces nothing
	MetricsByApp    int             // apps that metrics count apart
	// Version has the server be named among those that use the database.
	Version string
	// Piped has the server reached through pipes instead of sockets, which a bubble of virtual time needs.
	Piped bool
}

// Start starts a server as main does, but without a limit on the rate of requests, and without a boot grace: tests that
// are about these set them. Polls and sockets leave their goroutines as soon as they wait, unless the server is piped: the
// tests are of clients that wait without one.
func Start(t testing.TB, s Options) *Server {
	t.Helper()
	w := &Server{TB: t, Path: s.Path, Logs: &Logs{}}
	w.db = sync.OnceValue(w.openDatabase)
	if w.Path == "" {
		w.Path = filepath.Join(t.TempDir(), "restante.db")
		file, err := emptyDatabase()
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(w.Path, file, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if s.Level == nil {
		s.Level = slog.LevelDebug
	}
	log := slog.New(slog.NewJSONHandler(w.Logs, &slog.HandlerOptions{Level: s.Level}))
	w.Service = &rendezvous.Service{Config: rendezvous.DefaultConfig(), Version: s.Version, Log: log, Now: s.Now, Admit: s.Admit, VerifyToken: s.VerifyToken}
	store, err := repo.Open(t.Context(), repo.Options{URL: w.Path, Now: s.Now, Batched: w.Service.ObserveBatch, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	w.CloseStore = func() {
		if err := store.Close(); err != nil {
			t.Errorf("closing the database: %v", err)
		}
	}
	w.Service.Store = store
	if s.Wrap != nil {
		w.Service.Store = s.Wrap(store)
	}
	limits := handlers.DefaultLimits()
	limits.Rate, limits.Linger, limits.Metrics = 0, 0, 0
	// Tests have one address, and allocate a lot.
	l := &w.Service.Config.Limits
	w.Service.Config.BootGrace = 0
	w.Service.Config.NameplateRest, l.ClaimRate, l.AddressNameplates = 0, 0, 1<<30
	if !s.Piped {
		// A slow machine must not meet limits that only tests in virtual time are about.
		w.Service.Config.HeartbeatInterval = 10 * time.Minute
		limits.Identify, limits.WriteTime = 5*time.Minute, 5*time.Minute
	}
	if s.Config != nil {
		s.Config(&w.Service.Config)
	}
	if s.Limits != nil {
		s.Limits(&limits)
	}
	w.Handlers = &handlers.Server{Service: w.Service, Log: log, Version: "test", Started: time.Now(), ForwardedHeader: s.ForwardedHeader, Pages: packed(t, s.Pages), Origins: s.Origins, Hosts: s.Hosts, BasePath: s.BasePath, Admin: s.Admin, MetricsByApp: s.MetricsByApp, Tracer: s.Tracer, Limits: limits}
	for _, p := range s.Proxies {
		w.Handlers.TrustedProxies = append(w.Handlers.TrustedProxies, netip.MustParsePrefix(p))
	}
	w.Handlers.SetSettings(s.Settings)
	w.Routes = w.Handlers.Handler()

	server := &http.Server{
		Handler: w.Routes, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: limits.HeaderSize,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug), Protocols: new(http.Protocols),
	}
	server.Protocols.SetHTTP1(true)
	server.Protocols.SetUnencryptedHTTP2(true)
	serving := idleconn.NewServer(server, idleconn.Options{Log: log, Disabled: s.Piped})
	listener := w.listen(s.Piped)
	transport := &http.Transport{
		DialContext:        func(ctx context.Context, _, _ string) (net.Conn, error) { return w.Dial(ctx) },
		DisableCompression: true,
		MaxIdleConns:       4, MaxIdleConnsPerHost: 4,
	}
	w.HTTP = &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	loops, endLoops := context.WithCancel(context.WithoutCancel(t.Context()))
	var running sync.WaitGroup
	running.Go(func() { w.Service.Run(loops) })
	running.Go(func() { _ = serving.Serve(listener) }) // ends when the server is closed
	t.Cleanup(func() {
		_ = serving.Close()
		transport.CloseIdleConnections()
		ctx, cancel := context.WithTimeout(loops, time.Minute)
		defer cancel()
		w.Handlers.Wait(ctx)
		if ctx.Err() != nil {
			t.Error("a socket did not end with its client")
		}
		endLoops()
		running.Wait()
		w.CloseStore()
		w.checkLog()
	})
	return w
}

// listen opens the way to the server, and has w.dial take it.
func (w *Server) listen(piped bool) net.Listener {
	w.Helper()
	if piped {
		p := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
		w.Dial = p.dial
		return p
	}
	l, err := new(net.ListenConfig).Listen(w.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		w.Fatal(err)
	}
	w.Dial = func(ctx context.Context) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", l.Addr().String())
	}
	return l
}

// Bubble runs a test of a server in virtual time.
func Bubble(t *testing.T, s Options, test func(t *testing.T, w *Server)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s.Piped = true
		test(t, Start(t, s))
	})
}

// Get sends a GET request without a session. Its answer must be 200.
func (w *Server) Get(t testing.TB, path string) testclient.Answer {
	t.Helper()
	a, err := testclient.Exchange(t.Context(), w.HTTP, http.MethodGet, "http://restante.test"+path, nil, "")
	if err != nil || a.Status != http.StatusOK {
		t.Fatalf("GET %s: %d %s: %v", path, a.Status, a.Body, err)
	}
	return a
}
