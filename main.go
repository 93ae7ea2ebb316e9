// Command restante is a mailbox server: it holds mail until it is called for.
//
// This file is the only wiring: flags and environment become a Config, and run
// makes a server of it. It knows every package and decides nothing that one of them could.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/signal"
	"path"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
	"github.com/go-json-experiment/json"

	"restante/bench"
	"restante/handlers"
	"restante/parking"
	"restante/rendezvous"
	"restante/repo"
	"restante/web"
)

// version is set by the build: -ldflags "-X main.version=1.2.3".
var version = ""

// commands is the command line.
type commands struct {
	Serve   Config  `cmd:"" default:"withargs" help:"Run the server (the default)."`
	Health  health  `cmd:"" help:"Ask a running server whether it is ready; exit 0 if so."`
	Bench   measure `cmd:"" help:"Put load on a running server, and measure it."`
	Version showing `cmd:"" help:"Print the version."`
}

// Config is everything that an operator decides. Each field is also an
// environment variable: RESTANTE_ and the flag's name.
type Config struct {
	Listen              []string `group:"Where" default:":4000" placeholder:"ADDR" help:"Address to listen on; repeat for more (${default})."`
	Database            string   `group:"Where" default:"./restante.db" placeholder:"FILE|URL" help:"Where everything is kept: a SQLite file, made if it is not there; or postgres://user:password@host/database, for any number of servers at once (${default})."`
	DatabaseConnections int      `group:"Where" default:"16" help:"Connections to PostgreSQL, at most, beside two for notifications (${default})."`
	Notify              string   `group:"Where" enum:"listen,poll" default:"listen" help:"How servers on one PostgreSQL database tell each other of news: listen, with LISTEN and NOTIFY; or poll, which looks at change counters and works through a pooler that gives each transaction another connection (${default})."`

	PruneInterval time.Duration `group:"How long things live" default:"5m" help:"Between two runs of pruning (${default})."`
	MailboxTTL    time.Duration `group:"How long things live" name:"mailbox-ttl" default:"11m" help:"How long a mailbox is kept after its last change, and after the last sign of life of whoever holds it (${default})."`
	SessionGrace  time.Duration `group:"How long things live" default:"10m" help:"How long a client that went silent is waited for (${default})."`
	MaxTTL        time.Duration `group:"How long things live" name:"max-ttl" default:"24h" help:"The longest life that a client may ask for, of a mailbox or a session (${default})."`
	TombstoneTTL  time.Duration `group:"How long things live" name:"tombstone-ttl" default:"24h" help:"How long the end of a session is remembered (${default})."`
	BootGrace     time.Duration `group:"How long things live" default:"11m" help:"How long nothing expires after a start, an outage of the storage or a pause of the process (${default})."`

	HeartbeatInterval   time.Duration `group:"Sessions" default:"25s" help:"The longest that a receive is held without a frame; keep it below the timeouts of proxies (${default})."`
	HeartbeatsUntilDead int           `group:"Sessions" default:"2" help:"Heartbeat intervals of silence after which a client counts as gone (${default})."`
	RejectClient        []string      `group:"Sessions" placeholder:"PATTERN" help:"Refuse clients by their clientVersion, as implementation/version; * and ? match, for example 'acme/1.*'."`

	RequestRate    float64        `group:"Limits" default:"200" help:"Requests a second and address; 0 for no limit (${default})."`
	RequestBurst   int            `group:"Limits" default:"400" help:"Requests that an address may make at once (${default})."`
	MaxBody        int64          `group:"Limits" default:"262144" help:"Bytes of a request's body (${default})."`
	MaxSessions    int64          `group:"Limits" default:"1000000" help:"Live sessions in all (${default})."`
	MaxPerAddress  int            `group:"Limits" default:"1000" help:"Live sessions of an address (${default})."`
	MaxNameplates  int            `group:"Limits" default:"16" help:"Nameplates that a side may hold (${default})."`
	MaxMailboxes   int            `group:"Limits" default:"64" help:"Mailboxes that a side may be in (${default})."`
	MaxMessages    int64          `group:"Limits" default:"100000" help:"Messages in a mailbox (${default})."`
	MaxBytes       int64          `group:"Limits" default:"67108864" help:"Bytes of the messages in a mailbox (${default})."`
	MaxWindow      int64          `group:"Limits" default:"10000" help:"Unacknowledged frames of a session (${default})."`
	MaxWindowBytes int64          `group:"Limits" default:"16777216" help:"Their bytes (${default})."`
	MaxSockets     int            `group:"Limits" default:"200" help:"Sockets and event streams of an address (${default})."`
	IdentifyWithin time.Duration  `group:"Limits" default:"5s" help:"In which a socket must have said who it is (${default})."`
	SlowReader     time.Duration  `group:"Limits" default:"10s" help:"How long a client may take to read an answer (${default})."`
	CORSOrigins    []string       `group:"Limits" name:"cors-origins" placeholder:"ORIGIN" help:"Origins whose pages may use the server from a browser, besides its own, for example https://app.example,https://*.example.org; * is all."`
	TrustedProxies []netip.Prefix `group:"Limits" placeholder:"CIDR" help:"Proxies whose X-Forwarded-For and X-Real-IP are believed, for example 127.0.0.0/8,::1/128."`

	Motd             string `group:"What clients are told" help:"A message that clients show to people."`
	AdvertiseVersion string `group:"What clients are told" placeholder:"VERSION" help:"The client version that people should have."`
	SignalError      string `group:"What clients are told" placeholder:"TEXT" help:"Have every client end with this text."`
	DisallowList     bool   `group:"What clients are told" help:"Tell nobody which nameplates wait for a partner."`
	HashcashBits     int    `group:"What clients are told" default:"0" help:"Ask clients for a hashcash stamp of so many bits; 0 asks for none. Most wormhole clients cannot make one."`
	Settings         string `group:"What clients are told" placeholder:"FILE" help:"A JSON file with any of motd, advertiseVersion, signalError, disallowList and hashcashBits. It overrides these flags and is read again at SIGHUP."`

	Parking   bool          `group:"Operation" default:"true" negatable:"" help:"Have clients that wait do so without a goroutine and buffers of their own, where the system can; --no-parking is for finding out whether that is what troubles you."`
	Drain     time.Duration `group:"Operation" default:"2s" help:"How long the release of waiting clients is spread over at a stop (${default})."`
	BlurUsage time.Duration `group:"Operation" default:"0s" help:"Round the start times in usage records down to a multiple of this; 0 keeps them (${default})."`
	LogFormat string        `group:"Operation" enum:"auto,text,json" default:"auto" help:"text, json, or auto: text on a terminal, JSON otherwise (${default})."`
	LogLevel  slog.Level    `group:"Operation" default:"info" help:"debug, info, warn or error (${default})."`

	// Ready, if set, is called with the addresses that are listened on, once they are.
	Ready func([]net.Addr) `kong:"-"`
}

// glanceSpan is for how long looks that find nothing are gathered where each would be a transaction
// of a PostgreSQL database. SQLite's cost less than the gathering.
const glanceSpan = 25 * time.Millisecond

func main() {
	var cli commands
	parser := kong.Must(&cli,
		kong.Name("restante"),
		kong.Description("A mailbox server: it holds mail until it is called for.\n\nEvery flag may also be set in the environment: --mailbox-ttl as RESTANTE_MAILBOX_TTL."),
		kong.DefaultEnvars("RESTANTE"),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, FlagsLast: true, WrapUpperBound: 100}),
		kong.Help(help),
	)
	parsed, err := parser.Parse(os.Args[1:])
	if err != nil {
		err = fmt.Errorf("%w; restante --help explains what there is", err)
	} else {
		err = parsed.Run()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "restante:", err)
		os.Exit(1)
	}
}

// help explains a command; if none is named, all of them, with the flags of the one that is run then.
func help(options kong.HelpOptions, of *kong.Context) error {
	if err := kong.DefaultHelpPrinter(options, of); err != nil || of.Selected() != nil {
		return err
	}
	serve, err := kong.Trace(of.Kong, []string{"serve"})
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintln(of.Stdout)
	return kong.DefaultHelpPrinter(options, serve)
}

// Run is `restante serve`. The first signal to stop has it finish what is under
// way; a second one ends it at once, which loses nothing either.
func (c *Config) Run() error {
	if err := c.validate(); err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		signal.Stop(signals) // a second one has its usual effect, from before anybody hears of the first
		stop()
	}()
	return run(ctx, *c, c.logger(os.Stderr))
}

// validate refuses what cannot work, before anything is touched.
func (c *Config) validate() error {
	for name, d := range map[string]time.Duration{
		"prune-interval": c.PruneInterval, "mailbox-ttl": c.MailboxTTL, "session-grace": c.SessionGrace, "max-ttl": c.MaxTTL,
		"tombstone-ttl": c.TombstoneTTL, "heartbeat-interval": c.HeartbeatInterval,
	} {
		if d < time.Second {
			return fmt.Errorf("--%s is %v; it must be at least 1s", name, d)
		}
	}
	switch {
	case c.HeartbeatsUntilDead < 1:
		return errors.New("--heartbeats-until-dead must be at least 1")
	case c.BootGrace < 0 || c.Drain < 0 || c.BlurUsage < 0:
		return errors.New("--boot-grace, --drain and --blur-usage cannot be negative")
	case c.BlurUsage > 0 && c.BlurUsage < time.Millisecond:
		return errors.New("--blur-usage must be at least 1ms, or 0")
	case c.RequestRate > 0 && c.RequestBurst < 1:
		return errors.New("--request-burst must be at least 1 while there is a --request-rate")
	case min(c.MaxBody, c.MaxSessions, c.MaxMessages, c.MaxBytes, c.MaxWindow, c.MaxWindowBytes) < 1 ||
		min(c.MaxPerAddress, c.MaxNameplates, c.MaxMailboxes, c.MaxSockets) < 1 || min(c.IdentifyWithin, c.SlowReader) < time.Millisecond:
		return errors.New("limits must be at least 1")
	case strings.Contains(c.Database, "://") && !strings.HasPrefix(c.Database, "postgres://") && !strings.HasPrefix(c.Database, "postgresql://"):
		kind, _, _ := strings.Cut(c.Database, "://")
		return fmt.Errorf("--database %s://…: that kind is not known here; give a path such as ./restante.db, or postgres://…", kind)
	case c.DatabaseConnections < 1:
		return errors.New("--database-connections must be at least 1")
	}
	for _, origin := range c.CORSOrigins {
		if err := checkOrigin(origin); err != nil {
			return fmt.Errorf("--cors-origins %q: %w", origin, err)
		}
	}
	for _, pattern := range c.RejectClient {
		if _, err := path.Match(pattern, ""); err != nil {
			return fmt.Errorf("--reject-client %q is not a pattern", pattern)
		}
	}
	return nil
}

func (c *Config) logger(to *os.File) *slog.Logger {
	format := c.LogFormat
	if format == "auto" {
		format = "json"
		if info, err := to.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
			format = "text"
		}
	}
	options := &slog.HandlerOptions{Level: c.LogLevel, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Value.Kind() == slog.KindDuration {
			a.Value = slog.StringValue(a.Value.Duration().String()) // JSON has nanoseconds otherwise
		}
		return a
	}}
	if format == "text" {
		return slog.New(slog.NewTextHandler(to, options))
	}
	return slog.New(slog.NewJSONHandler(to, options))
}

// policy is the service's configuration.
func (c *Config) policy() rendezvous.Config {
	p := rendezvous.DefaultConfig()
	p.HeartbeatInterval, p.HeartbeatsUntilDead = c.HeartbeatInterval, c.HeartbeatsUntilDead
	p.SessionGrace, p.MailboxTTL, p.MaxTTL = c.SessionGrace, c.MailboxTTL, max(c.MaxTTL, c.SessionGrace, c.MailboxTTL)
	p.TombstoneTTL, p.BootGrace, p.PruneInterval = c.TombstoneTTL, c.BootGrace, c.PruneInterval
	p.DrainSpan, p.Blur = c.Drain, c.BlurUsage
	p.ClientTimeout = 2*c.HeartbeatInterval + 2*c.HeartbeatInterval/5
	p.Limits.Sessions, p.Limits.AddressSessions = c.MaxSessions, c.MaxPerAddress
	p.Limits.Nameplates, p.Limits.Mailboxes = c.MaxNameplates, c.MaxMailboxes
	p.Limits.MailboxMessages, p.Limits.MailboxBytes = c.MaxMessages, c.MaxBytes
	p.Limits.WindowFrames, p.Limits.WindowBytes = c.MaxWindow, c.MaxWindowBytes
	return p
}

// admit refuses the clients that --reject-client names.
func (c *Config) admit(_ context.Context, n rendezvous.Newcomer) error {
	said := n.Client[0] + "/" + n.Client[1]
	for _, pattern := range c.RejectClient {
		if match, _ := path.Match(pattern, said); match {
			return &rendezvous.Failure{Code: rendezvous.RejectedUnsupportedAgent, Detail: "this server does not take this version of the client; update it"}
		}
	}
	return nil
}

// run serves until ctx ends, and then stops gracefully: readiness first, then
// the parked receives, over a short span; what is under way is finished; what must be
// written down is; and only then the database is closed.
func run(ctx context.Context, c Config, log *slog.Logger) error {
	boundGarbage()
	started := time.Now()
	service := &rendezvous.Service{Config: c.policy(), Log: log, Admit: c.admit}
	store, err := repo.Open(ctx, repo.Options{
		URL: c.Database, Connections: c.DatabaseConnections, Pooled: c.Notify == "poll",
		Retried: &service.Stats().Retried, Log: log,
	})
	if err != nil {
		return err
	}
	defer func() {
		if err := store.Close(); err != nil {
			log.Error("could not close the database", "error", err)
		}
	}()
	service.Store = store
	others, err := store.Notifier()
	if err != nil {
		return err
	}
	if others != nil {
		service.Announce = others.Announce
		service.Config.GlanceSpan = glanceSpan
	}
	limits := handlers.DefaultLimits()
	limits.Body, limits.Rate, limits.Burst = c.MaxBody, c.RequestRate, c.RequestBurst
	limits.Sockets, limits.Identify, limits.WriteTime = c.MaxSockets, c.IdentifyWithin, c.SlowReader
	door := &handlers.Server{Service: service, Log: log, Version: buildVersion(), Started: started, Pages: web.Pages, TrustedProxies: c.TrustedProxies, Origins: c.CORSOrigins, Limits: limits}

	if c.Parking {
		if door.Parking, err = parking.New(log); err != nil {
			log.Debug("clients that wait are not parked", "error", err)
		}
		defer door.Parking.Close() //nolint:errcheck // it is as good as gone
	}
	notices, err := c.notices()
	if err != nil {
		return err
	}
	door.Notify(notices)
	defer c.reread(door, log)()

	listeners, err := listen(ctx, c.Listen)
	if err != nil {
		return err
	}
	silent := newStrangers()
	server := &http.Server{
		Handler:           door.Handler(),
		ConnState:         silent.watch,
		ConnContext:       door.Parking.ConnContext,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    limits.HeaderSize,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		Protocols:         new(http.Protocols),
	}
	server.Protocols.SetHTTP1(true)
	server.Protocols.SetUnencryptedHTTP2(true) // a proxy may speak it to us

	// The loops outlive the requests: what these have to have written down is written last.
	loops, endLoops := context.WithCancel(context.WithoutCancel(ctx))
	looped := make(chan struct{})
	go func() {
		defer close(looped)
		var running sync.WaitGroup
		if others != nil {
			running.Go(func() { others.Run(loops, service) })
		}
		service.Run(loops)
		running.Wait()
	}()
	failed := make(chan error, len(listeners))
	addresses := make([]net.Addr, len(listeners))
	for i, l := range listeners {
		addresses[i] = l.Addr()
		go func() { failed <- server.Serve(l) }()
	}
	if door.Parking != nil {
		go func() { _ = server.Serve(door.Parking) }() // until the server is shut down
	}
	log.Info("listening", "version", buildVersion(), "addresses", fmt.Sprint(addresses), "database", store.Name())
	if c.Ready != nil {
		c.Ready(addresses)
	}

	select {
	case err = <-failed:
	case <-ctx.Done():
		log.Info("stopping", "drain", c.Drain)
		service.Drain()
		time.Sleep(c.Drain) // while it answers that it is not ready, so that a load balancer sends everyone elsewhere
		patience, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.Drain+10*time.Second)
		defer cancel()
		door.Parking.Settle(patience)
		silent.leave()
		err = server.Shutdown(patience)
		door.Wait(patience) // for the sockets, which are not the server's any more
		if err != nil {
			err = errors.Join(fmt.Errorf("some requests did not end in time: %w", err), server.Close())
		}
	}
	endLoops()
	<-looped
	if errors.Is(err, http.ErrServerClosed) {
		err = nil
	}
	log.Info("stopped", "after", time.Since(started).Round(time.Second))
	return err
}

// notices are what clients are told: as the flags say, and the settings over them.
func (c *Config) notices() (handlers.Notices, error) {
	n := handlers.Notices{
		Motd: c.Motd, AdvertiseVersion: c.AdvertiseVersion, SignalError: c.SignalError,
		DisallowList: c.DisallowList, HashcashBits: c.HashcashBits,
	}
	if c.Settings != "" {
		text, err := os.ReadFile(c.Settings)
		if err != nil {
			return n, fmt.Errorf("--settings: %w", err)
		}
		if err := json.Unmarshal(text, &n, json.RejectUnknownMembers(true)); err != nil {
			return n, fmt.Errorf("--settings %s: %w", c.Settings, err)
		}
	}
	if n.HashcashBits < 0 || n.HashcashBits > 40 {
		return n, fmt.Errorf("hashcash bits are %d; they must be from 0 to 40, beyond which no client gets in", n.HashcashBits)
	}
	return n, nil
}

// reread reads the settings again at each SIGHUP, until stop. Settings that
// cannot be read change nothing.
func (c *Config) reread(door *handlers.Server, log *slog.Logger) (stop func()) {
	hangups, done := make(chan os.Signal, 1), make(chan struct{})
	signal.Notify(hangups, syscall.SIGHUP)
	go func() {
		for {
			select {
			case <-done:
				return
			case <-hangups:
			}
			notices, err := c.notices()
			if err != nil {
				log.Error("the settings stay as they were", "error", err)
				continue
			}
			door.Notify(notices)
			log.Info("read the settings again", "file", c.Settings)
		}
	}()
	return func() {
		signal.Stop(hangups)
		close(done)
	}
}

func listen(ctx context.Context, addresses []string) ([]net.Listener, error) {
	var listeners []net.Listener
	for _, address := range addresses {
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
		if err != nil {
			for _, open := range listeners {
				_ = open.Close() // nothing was served on it
			}
			if errors.Is(err, syscall.EADDRINUSE) {
				return nil, fmt.Errorf("%s is taken by another program; choose another with --listen", address)
			}
			return nil, fmt.Errorf("cannot listen on %s: %w", address, err)
		}
		listeners = append(listeners, l)
	}
	return listeners, nil
}

// buildVersion is the version that was built in, or else the commit it was built from.
func buildVersion() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			return "commit-" + s.Value[:12]
		}
	}
	return "development"
}

// showing is `restante version`.
type showing struct{}

// Run prints the version.
func (showing) Run() error {
	_, err := fmt.Println("restante", buildVersion())
	return err
}

// measure is `restante bench`.
type measure struct{ bench.Command }

// Run measures until it is done, or stopped.
func (m *measure) Run() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return m.Measure(ctx, os.Stdout, os.Stderr)
}

// health is `restante health`, for machines without curl such as our container.
type health struct {
	URL     string        `default:"http://localhost:4000" help:"Where the server is (${default})."`
	Timeout time.Duration `default:"3s" help:"How long to wait for its answer (${default})."`
}

// Run asks whether the server is ready.
func (h *health) Run() error {
	ctx, cancel := context.WithTimeout(context.Background(), h.Timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimRight(h.URL, "/")+"/readyz", http.NoBody)
	if err != nil {
		return fmt.Errorf("--url: %w", err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close() //nolint:errcheck // only read from
	body, err := io.ReadAll(io.LimitReader(response.Body, 64<<10))
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("not ready: %s %s", response.Status, bytes.TrimSpace(body))
	}
	_, err = fmt.Println("ready")
	return err
}
