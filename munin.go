package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"restante/api"
	"restante/internal/munin"
	"restante/internal/operator"
	"restante/rendezvous"
	"restante/repo"
)

// plot is `restante munin`.
type plot struct {
	operator.Admin `embed:"" set:"timeout=3s"`

	Graph          string   `arg:"" optional:"" help:"The graph: active, errors, event_rate, events, events_alltime, version_uptake or staleness. A link to the program named restante_ and the graph needs none."`
	Action         string   `arg:"" optional:"" help:"config, autoconf or suggest, as Munin asks."`
	Database       string   `placeholder:"FILE|URL" help:"What the server was given as --database. It is read, and never written, if the server does not answer or has no admin side."`
	ClientVersions []string `placeholder:"VERSION" help:"Versions that have a line of their own in version_uptake, as implementation/version, or as implementation for all other versions of it. By default, the most frequent ones."`
}

// Help returns what --help says besides the flags.
func (*plot) Help() string {
	return `As a plugin of Munin:
  ln -s /usr/local/bin/restante /etc/munin/plugins/restante_staleness

and in /etc/munin/plugin-conf.d/restante:
  [restante_*]
  user restante
  env.RESTANTE_URL http://127.0.0.1:4001
  env.RESTANTE_DATABASE /var/lib/restante/restante.db
  env.updated_warning 300
` + munin.Markers
}

// Run prints a graph.
func (p *plot) Run() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	plugin := munin.Plugin{Source: &muninSource{p}, Versions: p.ClientVersions, Getenv: os.Getenv, Out: os.Stdout}
	return plugin.Run(ctx, p.Graph, p.Action)
}

// muninSource asks the server, or reads its database.
type muninSource struct{ *plot }

// State asks the server for its status, or else reads it in the database.
func (s *muninSource) State(ctx context.Context) (munin.State, error) {
	status, failed := s.Status(ctx)
	if failed == nil {
		return muninState(status), nil
	}
	stored, err := s.read(ctx, failed)
	if err != nil {
		return munin.State{}, err
	}
	state := muninStored(stored)
	if refused, is := errors.AsType[*operator.Refused](failed); is {
		state.Refused = refused.Error()
	}
	return state, nil
}

// Versions asks the admin side, or else reads them in the database.
func (s *muninSource) Versions(ctx context.Context) (versions []munin.Version, err error) {
	usage, err := s.Usage(ctx, "hours=1")
	if err == nil {
		for _, v := range usage.Versions {
			versions = append(versions, munin.Version{Implementation: v.Implementation, Version: v.Version, Clients: v.Clients})
		}
		return versions, nil
	}
	stored, err := s.read(ctx, err)
	for _, v := range stored.Versions {
		versions = append(versions, munin.Version{Implementation: v.Implementation, Version: v.Version, Clients: v.Clients})
	}
	return versions, err
}

// read reads the database, as the server told the error why. If it cannot, the error tells of both.
func (s *muninSource) read(ctx context.Context, why error) (rendezvous.Stored, error) {
	answer := munin.ErrSilent
	if refused := new(operator.Refused); errors.As(why, &refused) {
		answer = munin.ErrRefused
	}
	why = fmt.Errorf("%w: %w", answer, why)
	if s.Database == "" {
		return rendezvous.Stored{}, fmt.Errorf("%w; there is no --database to look into either", why)
	}
	db, err := repo.OpenToRead(ctx, repo.Options{URL: s.Database, Connections: 1})
	if err != nil {
		return rendezvous.Stored{}, fmt.Errorf("%w; %w", why, err)
	}
	stored, err := rendezvous.ReadStored(ctx, db)
	if err = errors.Join(err, db.Close()); err != nil {
		return rendezvous.Stored{}, fmt.Errorf("%w; %w", why, err)
	}
	return stored, nil
}

// muninState returns what a status tells.
func muninState(s api.Status) munin.State {
	since := s.Started
	if s.Prune.LastGoodAt != nil {
		since = *s.Prune.LastGoodAt
	}
	failing := make([]string, len(s.Prune.Failures))
	for i, f := range s.Prune.Failures {
		failing[i] = operator.Describe(f)
	}
	return munin.State{
		Answers:    true,
		Nameplates: s.Counts.Nameplates, Mailboxes: s.Counts.Mailboxes, Messages: s.Counts.Messages, Sessions: s.Counts.Sessions,
		Since: endedHere(s.Ended.Here), AllTime: endedHere(s.Ended.AllTime),
		Updated:  time.Duration(s.UpdatedAgeMs) * time.Millisecond,
		Recorded: new(time.Duration(s.RecordedAgeMs) * time.Millisecond),
		Pruned:   new(time.Duration(s.ServerTime-since) * time.Millisecond), Failing: &failing,
	}
}

// endedHere returns how things ended, by result.
func endedHere(c api.EndedCounts) munin.Ended {
	counts := func(r api.ResultCounts) map[string]int64 {
		return map[string]int64{"happy": r.Happy, "lonely": r.Lonely, "scary": r.Scary, "errory": r.Errory, "pruney": r.Pruney, "crowded": r.Crowded, "quiet": r.Quiet}
	}
	return munin.Ended{Nameplates: counts(c.Nameplates), Mailboxes: counts(c.Mailboxes)}
}

// muninStored returns what the storage tells.
func muninStored(s rendezvous.Stored) munin.State {
	state := munin.State{
		Nameplates: s.Counts.Nameplates, Mailboxes: s.Counts.Mailboxes, Messages: s.Counts.Messages, Sessions: s.Counts.Sessions,
		Since: endedStored(s.Ended), AllTime: endedStored(s.AllEnded), Updated: s.Now.Sub(s.Updated),
	}
	if len(s.Servers) > 0 {
		last := s.Servers[0]
		since := last.Started
		if !last.Pruned.IsZero() {
			since = last.Pruned
		}
		state.Pruned = new(s.Now.Sub(since))
	}
	return state
}

// endedStored returns how things ended, by result.
func endedStored(totals rendezvous.UsageTotals) munin.Ended {
	ended := munin.Ended{Nameplates: map[string]int64{}, Mailboxes: map[string]int64{}}
	for _, t := range totals.List() {
		if t.Kind == rendezvous.KindNameplate {
			ended.Nameplates[string(t.Result)] = t.Count
		} else {
			ended.Mailboxes[string(t.Result)] = t.Count
		}
	}
	return ended
}
