package handlers_test

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"restante/handlers"
	"restante/handlers/welcome"
	"restante/internal/idleconn"
	"restante/rendezvous"
	"restante/repo"
)

func TestMain(m *testing.M) {
	contract() // not for the first time inside of a bubble
	if _, err := emptyDatabase(); err != nil {
		_, _ = os.Stderr.WriteString(err.Error() + "\n")
		os.Exit(1)
	}
	code := m.Run()
	if err := goleak.Find(); code == 0 && err != nil {
		_, _ = os.Stderr.WriteString(err.Error() + "\n")
		code = 1
	}
	os.Exit(code)
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

// world is a server under test: the real one, on a SQLite file of its own. What it answers to a [client] is checked
// against the contract.
type world struct {
	testing.TB
	service *rendezvous.Service
	door    *handlers.Server
	path    string // of the database
	http    *http.Client
	dial    func(context.Context) (net.Conn, error)
	logs    *logbook
	cut     func() // takes the storage away

	mu      sync.Mutex
	secrets []string // what the log must never hold
}

// setup is how a world differs from a server without flags.
type setup struct {
	config   func(*rendezvous.Config)
	limits   func(*handlers.Limits)
	settings welcome.Settings
	admit    func(context.Context, rendezvous.ClientInfo) error
	wrap     func(rendezvous.Store) rendezvous.Store // stands between the service and its store
	now      func() time.Time                        // of the store and the service
	path     string                                  // of a database that exists
	level    slog.Leveler                            // of the log; the default is debug
	proxies  []string
	forward  string            // the header in which they name the client
	pages    map[string]string // their files, by name
	origins  []string
	hosts    []string // that requests may be for
	basePath string
	admin    bool // there is an admin side: see operator
	byApp    int  // apps that metrics count apart
	// piped has the server reached through pipes instead of sockets, which a bubble of virtual time needs.
	piped bool
}

// start starts a server as main does, but without a limit on the rate of requests. Polls and sockets leave their
// goroutines as soon as they wait, unless the server is piped: the tests are of clients that wait without one.
func start(t testing.TB, s setup) *world {
	t.Helper()
	w := &world{TB: t, path: s.path, logs: &logbook{}}
	if w.path == "" {
		w.path = filepath.Join(t.TempDir(), "restante.db")
		file, err := emptyDatabase()
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(w.path, file, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if s.level == nil {
		s.level = slog.LevelDebug
	}
	log := slog.New(slog.NewJSONHandler(w.logs, &slog.HandlerOptions{Level: s.level}))
	w.service = &rendezvous.Service{Config: rendezvous.DefaultConfig(), Log: log, Now: s.now, Admit: s.admit}
	store, err := repo.Open(t.Context(), repo.Options{URL: w.path, Now: s.now, Batched: w.service.ObserveBatch, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	w.cut = func() {
		if err := store.Close(); err != nil {
			t.Errorf("closing the database: %v", err)
		}
	}
	w.service.Store = store
	if s.wrap != nil {
		w.service.Store = s.wrap(store)
	}
	limits := handlers.DefaultLimits()
	limits.Rate, limits.Linger = 0, 0
	// Tests have one address, and allocate a lot.
	l := &w.service.Config.Limits
	w.service.Config.NameplateRest, l.ClaimRate, l.AddressNameplates = 0, 0, 1<<30
	if s.config != nil {
		s.config(&w.service.Config)
	}
	if s.limits != nil {
		s.limits(&limits)
	}
	door := &handlers.Server{Service: w.service, Log: log, Version: "test", Started: time.Now(), ForwardedHeader: s.forward, Pages: packed(t, s.pages), Origins: s.origins, Hosts: s.hosts, BasePath: s.basePath, Admin: s.admin, MetricsByApp: s.byApp, Limits: limits}
	for _, p := range s.proxies {
		door.TrustedProxies = append(door.TrustedProxies, netip.MustParsePrefix(p))
	}

	door.SetSettings(s.settings)
	w.door = door

	server := &http.Server{
		Handler: door.Handler(), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: limits.HeaderSize,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug), Protocols: new(http.Protocols),
	}
	server.Protocols.SetHTTP1(true)
	server.Protocols.SetUnencryptedHTTP2(true)
	serving := idleconn.NewServer(server, idleconn.Options{Log: log, Disabled: s.piped})
	listener := w.listen(s.piped)
	transport := &http.Transport{
		DialContext:        func(ctx context.Context, _, _ string) (net.Conn, error) { return w.dial(ctx) },
		DisableCompression: true,
		MaxIdleConns:       4, MaxIdleConnsPerHost: 4,
	}
	w.http = &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	loops, endLoops := context.WithCancel(context.WithoutCancel(t.Context()))
	var running sync.WaitGroup
	running.Go(func() { w.service.Run(loops) })
	running.Go(func() { _ = serving.Serve(listener) }) // ends when the server is closed
	t.Cleanup(func() {
		_ = serving.Close()
		transport.CloseIdleConnections()
		ctx, cancel := context.WithTimeout(loops, time.Minute)
		defer cancel()
		door.Wait(ctx)
		if ctx.Err() != nil {
			t.Error("a socket did not end with its client")
		}
		endLoops()
		running.Wait()
		w.cut()
		w.checkLog()
	})
	return w
}

// listen opens the way to the server, and has w.dial take it.
func (w *world) listen(piped bool) net.Listener {
	w.Helper()
	if piped {
		p := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
		w.dial = p.dial
		return p
	}
	l, err := new(net.ListenConfig).Listen(w.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		w.Fatal(err)
	}
	w.dial = func(ctx context.Context) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", l.Addr().String())
	}
	return l
}

// pipes is a listener whose connections are in memory: virtual time passes while they wait.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (p *pipes) dial(ctx context.Context) (net.Conn, error) {
	mine, theirs := net.Pipe()
	select {
	case p.conns <- theirs:
		return mine, nil
	case <-p.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "pipe"} }

// raw sends bytes as they are and reads one response: for what no HTTP client sends.
func (w *world) raw(t testing.TB, request string) *answer {
	t.Helper()
	conn, err := w.dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	var sending sync.WaitGroup
	sending.Go(func() { _, _ = conn.Write([]byte(request)) }) // the server may refuse before it has read all
	a, err := readAnswer(conn, nil)
	if err != nil {
		t.Fatalf("%.60q: %v", request, err)
	}
	_ = conn.Close()
	sending.Wait()
	a.TB = t
	return a
}

// logbook keeps what the server logs.
type logbook struct {
	mu    sync.Mutex
	lines bytes.Buffer
}

func (l *logbook) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lines.Write(line)
}

func (l *logbook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lines.String()
}

// secret notes what the log must never hold.
func (w *world) secret(s ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.secrets = append(w.secrets, s...)
}

// checkLog is run at the end of every world.
func (w *world) checkLog() {
	w.Helper()
	logged := w.logs.String()
	for _, secret := range w.secrets {
		if strings.Contains(logged, secret) {
			w.Errorf("the log holds %q:\n%s", secret, logged)
		}
	}
	for line := range strings.Lines(logged) {
		if w.Failed() && strings.Contains(line, `"level":"ERROR"`) {
			w.Log(line)
		}
	}
}
