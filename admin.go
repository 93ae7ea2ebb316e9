package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"restante/handlers"
	"restante/internal/listen"
	"restante/internal/tracing"
)

// Administration is where and how the operator reaches the admin side.
type Administration struct {
	AdminListen []string `group:"Operation" placeholder:"ADDR" help:"Address of the admin side, in the forms of --listen: sessions, usage and a status page for the operator. /metrics and /v1/status are then served there and no longer to clients. Off by default."`
	AdminToken  string   `group:"Operation" placeholder:"TOKEN" help:"What the operator sends to the admin side as a bearer token or as a password. It is required if that is not on a loopback address. Best set as RESTANTE_ADMIN_TOKEN: other users see a program's flags."`

	OTLPEndpoint string `group:"Operation" name:"otlp-endpoint" env:"RESTANTE_OTLP_ENDPOINT,OTEL_EXPORTER_OTLP_ENDPOINT" placeholder:"URL" help:"Where traces are exported to with OTLP/HTTP, for example http://localhost:4318; also OTEL_EXPORTER_OTLP_ENDPOINT, as of OpenTelemetry's SDKs. Off by default."`
	MetricsByApp int    `group:"Operation" default:"0" placeholder:"COUNT" help:"Count clients, messages and what is retired also by app, for so many apps, which are then named in /metrics; the others are counted as other. 0 counts nothing by app (${default})."`
}

// minToken is the length of the shortest token, in bytes.
const minToken = 16

// validateAdmin refuses an admin side that strangers could use.
func (a *Administration) validateAdmin() error {
	if a.AdminToken != "" && len(a.AdminToken) < minToken {
		return fmt.Errorf("--admin-token must have at least %d characters", minToken)
	}
	if a.AdminToken != "" && len(a.AdminListen) == 0 {
		return errors.New("--admin-token is for the admin side: set --admin-listen")
	}
	if a.MetricsByApp < 0 {
		return errors.New("--metrics-by-app cannot be negative")
	}
	if len(a.AdminListen) == 0 {
		return nil
	}
	if err := listen.Check(a.AdminListen, nil); err != nil {
		return fmt.Errorf("--admin-listen: %w", err)
	}
	return nil
}

// trace has the server trace requests, if there is a receiver of traces. end exports what is left.
func (a *Administration) trace(ctx context.Context, api *handlers.Server, log *slog.Logger) (end func(), err error) {
	if a.OTLPEndpoint == "" {
		return func() {}, nil
	}
	if api.Tracer, err = tracing.New(ctx, tracing.Options{Endpoint: a.OTLPEndpoint, Version: api.Version, Log: log}); err != nil {
		return nil, fmt.Errorf("--otlp-endpoint: %w", err)
	}
	return func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tracesTimeout)
		defer cancel()
		if err := api.Tracer.Close(ctx); err != nil {
			log.Warn("cannot export the last traces", "error", err)
		}
	}, nil
}

// tracesTimeout is how long a stop waits for the last traces to be exported.
const tracesTimeout = 2 * time.Second

// adminSide is the admin side, or nil.
type adminSide struct {
	*listen.Listeners

	token string
	log   *slog.Logger
}

// openAdmin listens for the operator, if there is an admin side.
func (c *Config) openAdmin(ctx context.Context, passed *listen.Passed, log *slog.Logger) (*adminSide, error) {
	if len(c.AdminListen) == 0 {
		return nil, nil //nolint:nilnil // there is none, and that is no error
	}
	mode, err := c.socketMode()
	if err != nil {
		return nil, err
	}
	opened, err := listen.Open(ctx, listen.Config{Plain: c.AdminListen, SocketMode: mode, Passed: passed})
	if err != nil {
		return nil, fmt.Errorf("--admin-listen: %w", err)
	}
	if !opened.Loopback() && c.AdminToken == "" {
		opened.Close()
		return nil, errors.New("--admin-listen is not a loopback address: set --admin-token, too")
	}
	return &adminSide{opened, c.AdminToken, log}, nil
}

// serve serves the admin side until stop. It ends after everything else, so that the operator sees a stop, too.
func (a *adminSide) serve(ctx context.Context, api *handlers.Server) (stop func()) {
	if a == nil {
		return func() {}
	}
	server := &http.Server{
		Handler: api.AdminHandler(a.token), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute,
		ErrorLog: slog.NewLogLogger(a.log.Handler(), slog.LevelDebug),
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var running sync.WaitGroup
	running.Go(func() { api.RunHistory(ctx) })
	for _, l := range a.All() {
		running.Go(func() {
			if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
				a.log.Error("the admin side ended", "error", err)
			}
		})
	}
	a.log.Info("the admin side listens", "addresses", fmt.Sprint(a.Addrs()))
	return func() {
		cancel()
		_ = server.Close() // the operator's requests are short
		running.Wait()
	}
}
