// Command restante is a mailbox server: it holds mail until it is called for.
//
// This file is the only wiring: run makes a server from a Config. It knows every package and decides nothing that
// one of them can decide. The flags and the environment are in config.go.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"restante/handlers"
	"restante/internal/bench"
	"restante/internal/goruntime"
	"restante/internal/idleconn"
	"restante/rendezvous"
	"restante/repo"
	"restante/web"
)

// commands is the command line.
type commands struct {
	Serve   Config  `cmd:"" default:"withargs" help:"Run the server (the default)."`
	Health  health  `cmd:"" help:"Ask a running server whether it is ready; exit 0 if so."`
	Bench   measure `cmd:"" help:"Put load on a running server, and measure it."`
	Version showing `cmd:"" help:"Print the version."`
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

// run serves until ctx ends, and then stops gracefully: readiness first, then
// the parked receives, over a short span; what is under way is finished; what must be
// written down is; and only then the database is closed.
func run(ctx context.Context, c Config, log *slog.Logger) error {
	goruntime.BoundGarbage()
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
		service.Config.LookupBatchWindow = glanceSpan
	}
	limits := handlers.DefaultLimits()
	limits.Body, limits.Rate, limits.Burst = c.MaxBody, c.RequestRate, c.RequestBurst
	limits.Sockets, limits.Identify, limits.WriteTime = c.MaxSockets, c.IdentifyWithin, c.SlowReader
	door := &handlers.Server{Service: service, Log: log, Version: buildVersion(), Started: started, Pages: web.Pages, TrustedProxies: c.TrustedProxies, Origins: c.CORSOrigins, Limits: limits}

	settings, err := c.settings()
	if err != nil {
		return err
	}
	door.SetSettings(settings)
	reached, err := c.open(ctx, log)
	if err != nil {
		return err
	}
	door.Hosts = c.hosts(reached)
	defer c.reread(door, reached, log)()
	server := idleconn.NewServer(&http.Server{
		Handler:           reached.handler(door.Handler()),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    limits.HeaderSize,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		Protocols:         c.protocols(),
	}, idleconn.Options{Log: log, Disabled: !c.Parking})
	defer server.Close() //nolint:errcheck // what was to be told has been

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
	listeners, addresses := reached.All(), reached.Addrs()
	failed := make(chan error, len(listeners))
	for _, l := range listeners {
		go func() { failed <- server.Serve(l) }()
	}
	log.Info("listening", "version", buildVersion(), "addresses", fmt.Sprint(addresses), "database", store.Name())
	c.warn(reached, log)
	reached.obtain()
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

// reread reads the settings and the certificate again at each SIGHUP, until stop. What
// cannot be read changes nothing.
func (c *Config) reread(door *handlers.Server, reached *reach, log *slog.Logger) (stop func()) {
	hangups, done := make(chan os.Signal, 1), make(chan struct{})
	signal.Notify(hangups, syscall.SIGHUP)
	go func() {
		for {
			select {
			case <-done:
				return
			case <-hangups:
			}
			reached.reload()
			settings, err := c.settings()
			if err != nil {
				log.Error("the settings stay as they were", "error", err)
				continue
			}
			door.SetSettings(settings)
			log.Info("read the settings again", "file", c.Settings)
		}
	}()
	return func() {
		signal.Stop(hangups)
		close(done)
	}
}

// measure is `restante bench`.
type measure struct{ bench.Command }

// Run measures until it is done, or stopped.
func (m *measure) Run() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return m.Measure(ctx, os.Stdout, os.Stderr)
}
