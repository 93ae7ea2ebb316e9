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
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"restante/handlers"
	"restante/internal/bench"
	"restante/internal/coalesce"
	"restante/internal/conformance"
	"restante/internal/goruntime"
	"restante/internal/idleconn"
	"restante/internal/listen"
	"restante/internal/munin"
	"restante/internal/token"
	"restante/rendezvous"
	"restante/repo"
	"restante/web"
	"restante/webhooks"
)

// commands is the command line.
type commands struct {
	Serve       Config           `cmd:"" default:"withargs" help:"Run the server (the default)."`
	Health      health           `cmd:"" help:"Ask a running server whether it is ready; exit 0 if so."`
	Rules       rulesCommands    `cmd:"" help:"Look at files of rules for --rules."`
	Webhooks    webhooksCommands `cmd:"" help:"Look at files of webhooks for --webhooks."`
	Bench       measure          `cmd:"" help:"Put load on a running server, and measure it."`
	Conformance conforms         `cmd:"" help:"Try whether a server keeps the rules of the contract and of the protocols."`
	Status      showStatus       `cmd:"" help:"Show how a running server is doing."`
	Usage       showUsage        `cmd:"" help:"Show how a running server is used."`
	Check       check            `cmd:"" help:"Look for what is wrong in a database, and mend it."`
	Munin       plot             `cmd:"" help:"Print a graph for Munin."`
	Version     showVersion      `cmd:"" help:"Print the version."`
}

// versionFlag is what packagers try first, and stands for the command.
const versionFlag = "--version"

// lookupBatchWindow is how long lookups that find nothing are gathered into one transaction on PostgreSQL. A lookup in
// SQLite costs less than the gathering.
const lookupBatchWindow = 25 * time.Millisecond

// heartbeatSlack is by how much the heartbeats of clients that wait may be late, so that those that are due at about the
// same time are sent together.
const heartbeatSlack = 100 * time.Millisecond

func main() {
	var cli commands
	parsed, err := parse(&cli, munin.Arguments(os.Args))
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

// parse reads the command line and the environment.
func parse(cli *commands, arguments []string) (*kong.Context, error) {
	if err := trimEnvironment(); err != nil {
		return nil, err
	}
	parser := kong.Must(cli, append(values(),
		kong.Name("restante"),
		kong.Description("A mailbox server: it holds mail until it is called for.\n\nEvery flag may also be set in the environment: --mailbox-ttl as RESTANTE_MAILBOX_TTL. A variable without a value counts as unset."),
		kong.DefaultEnvars("RESTANTE"),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, FlagsLast: true, WrapUpperBound: 100}),
		kong.Help(help),
	)...)
	if len(arguments) == 1 && arguments[0] == versionFlag {
		arguments = []string{"version"}
	}
	parsed, err := parser.Parse(arguments)
	if err != nil {
		return nil, err
	}
	return parsed, checkFlags(parsed.Flags())
}

// help explains a command. If none is named, it explains all of them, and the flags of serve, which is the default.
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

// Run is `restante serve`. At the first signal to stop, it finishes what is under way. A second signal ends it at once,
// which loses nothing either.
func (c *Config) Run() error {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP) // one that comes too early is acted upon once it serves
	defer signal.Stop(hangups)
	if err := c.validate(); err != nil {
		return err
	}
	signal.Ignore(syscall.SIGPIPE) // what reads the log may end before the server, which then only loses lines
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		signal.Stop(signals) // from now on, a second one has its usual effect
		stop()
	}()
	log, endLog := c.logger(os.Stderr)
	defer endLog()
	served := false
	c.Ready = func([]net.Addr) { served = true }
	err := run(ctx, *c, log, hangups)
	if err != nil && ctx.Err() != nil && !served {
		log.Info("stopped while it was starting", "error", err)
		return nil
	}
	return err
}

// run serves until ctx ends, and then stops gracefully. The database is closed last, once everything is written. At each
// hangup, it reads its files again.
func run(ctx context.Context, c Config, log *slog.Logger, hangups <-chan os.Signal) error {
	goruntime.BoundGarbage()
	started := time.Now()
	service := &rendezvous.Service{
		Config: c.policy(), Log: log, Admit: c.admit, Version: buildVersion(), AfterFunc: coalesce.AfterFunc(heartbeatSlack),
	}
	tokens, err := c.tokens(log)
	if err != nil {
		return err
	}
	ask(service, tokens)
	store, err := repo.Open(ctx, repo.Options{
		URL: c.Database, Connections: c.DatabaseConnections, Pooled: c.Notify == "poll",
		Retried: &service.Stats().Retried, Lost: &service.Stats().Lost, Missed: &service.Stats().Missed,
		Batched: service.ObserveBatch, Log: log,
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
	if err := service.LoadAddressKey(ctx); err != nil {
		return err
	}
	replicas, err := store.Notifier()
	if err != nil {
		return err
	}
	if replicas != nil {
		service.Announce = replicas.Announce
		service.Config.LookupBatchWindow = lookupBatchWindow
	}
	sender, err := c.tellWebhooks(service, log)
	if err != nil {
		return err
	}
	limits := c.limits()
	api := &handlers.Server{
		Service: service, Log: log, Version: buildVersion(), Started: started, Pages: web.Pages,
		TrustedProxies: c.TrustedProxies, ForwardedHeader: c.ForwardedHeader, Origins: c.CORSOrigins, BasePath: c.BasePath, Admin: len(c.AdminListen) > 0, Limits: limits,
	}
	settings, err := c.settings()
	if err != nil {
		return err
	}
	api.SetSettings(settings)
	endTraces, err := c.trace(ctx, api, log)
	if err != nil {
		return err
	}
	defer endTraces()
	budget := c.connections(service, c.TrustedProxies, log)
	api.MetricsByApp, api.RefusedConnections = c.MetricsByApp, budget.Refused.Load
	if err := c.applyRules(api, log); err != nil {
		return err
	}
	passed, err := listen.Inherit(c.Listen, c.secureAddresses(), c.AdminListen)
	if err != nil {
		return err
	}
	reached, err := c.open(ctx, budget, passed)
	if err != nil {
		return err
	}
	api.Hosts = c.hosts(reached)
	defer c.reread(hangups, api, reached, tokens, sender, log)()
	admin, err := c.openAdmin(ctx, passed, log)
	if err != nil {
		return err
	}
	if err := passed.Check(); err != nil {
		return fmt.Errorf("--listen, --tls-listen, --admin-listen: %w", err)
	}
	server := idleconn.NewServer(&http.Server{
		Handler:           reached.handler(api.Handler()),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    limits.HeaderSize,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		Protocols:         c.protocols(),
	}, idleconn.Options{Log: log, Disabled: !c.Parking})
	defer server.Close() //nolint:errcheck // clients have received what they will
	budget.MakeRoom = server.CloseQuiet

	// The loops outlive the requests: what requests leave to be written is written last.
	endLoops := startLoops(ctx, service, replicas, sender)
	defer admin.serve(ctx, api)()
	failed := make(chan error, len(reached.All()))
	for _, l := range reached.All() {
		go func() { failed <- server.Serve(l) }()
	}
	log.Info("listening", "version", buildVersion(), "addresses", fmt.Sprint(reached.Addrs()), "database", store.Name())
	c.warn(reached, log)
	reached.obtain()
	if c.Ready != nil {
		c.Ready(reached.Addrs())
	}
	select {
	case err = <-failed:
	case <-ctx.Done():
		log.Info("stopping", "drain", c.Drain)
		service.Drain()
		time.Sleep(c.Drain) // meanwhile, it answers that it is not ready, so that a load balancer turns to others
		err = shutDown(context.WithoutCancel(ctx), server, api, c.Drain+10*time.Second)
	}
	endLoops()
	if errors.Is(err, http.ErrServerClosed) {
		err = nil
	}
	log.Info("stopped", "after", time.Since(started).Round(time.Second))
	return err
}

// startLoops runs what the service and the notifications of replicas, if there are any, do beside requests. end ends
// them, and returns once they have written what they had to write.
func startLoops(ctx context.Context, service *rendezvous.Service, replicas *repo.Notifier, sender *webhooks.Sender) (end func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var running sync.WaitGroup
	if replicas != nil {
		running.Go(func() { replicas.Run(ctx, service) })
	}
	running.Go(func() { service.Run(ctx) })
	if sender != nil {
		running.Go(func() { sender.Run(ctx) })
	}
	return func() {
		cancel()
		running.Wait()
	}
}

// shutDown waits until the requests and sockets have ended, and closes the connections that are left after a while.
func shutDown(ctx context.Context, server *idleconn.Server, api *handlers.Server, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	err := server.Shutdown(ctx)
	api.Wait(ctx) // for the sockets: the HTTP server does not know them any more
	if err != nil {
		err = errors.Join(fmt.Errorf("some requests did not end in time: %w", err), server.Close())
	}
	return err
}

// reread reads the settings, the certificate, the keys of tokens, the rules and the webhooks again at each hangup, until stop.
// What cannot be read changes nothing.
func (c *Config) reread(hangups <-chan os.Signal, api *handlers.Server, reached *reach, tokens *token.Verifier, sender *webhooks.Sender, log *slog.Logger) (stop func()) {
	done := make(chan struct{})
	go func() {
		for {
			select {
			case <-done:
				return
			case <-hangups:
			}
			reached.reload()
			c.rereadTokens(tokens, log)
			c.rereadRules(api, log)
			c.rereadWebhooks(sender, log)
			c.rereadSettings(api, log)
		}
	}()
	return func() { close(done) }
}

// rereadSettings reads the settings again, if they are in a file. If there is a mistake in them, those from before stay.
func (c *Config) rereadSettings(api *handlers.Server, log *slog.Logger) {
	if c.Settings == "" {
		return
	}
	settings, err := c.settings()
	if err != nil {
		log.Error("the settings stay as they were", "error", err)
		return
	}
	api.SetSettings(settings)
	log.Info("read the settings again", "file", c.Settings)
}

// conforms is `restante conformance`.
type conforms struct{ conformance.Command }

// Run tries the rules until it is done, or stopped.
func (c *conforms) Run() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return c.Try(ctx, os.Stdout, os.Stderr)
}

// measure is `restante bench`.
type measure struct{ bench.Command }

// Run measures until it is done, or stopped.
func (m *measure) Run() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return m.Measure(ctx, os.Stdout, os.Stderr)
}
