package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"restante/rendezvous"
	"restante/repo"
)

// check is `restante check`.
type check struct {
	Database        string        `default:"./restante.db" placeholder:"FILE|URL" help:"What the server was given as --database (${default})."`
	Repair          bool          `help:"Mend what can be mended, each thing in a transaction of its own. On a SQLite file, no server may run."`
	BlurUsage       time.Duration `default:"0s" help:"What the server was given as --blur-usage (${default})."`
	UsageRetention  time.Duration `default:"2160h" help:"What the server was given as --usage-retention (${default})."`
	MaxUsageRecords int           `default:"1000000" help:"What the server was given as --max-usage-records (${default})."`
	Patience        time.Duration `default:"10m" help:"How long looking for one kind of thing may take (${default})."`
	JSON            bool          `name:"json" help:"Print a line in JSON for each thing."`
}

// Help returns what --help says besides the flags.
func (*check) Help() string {
	return `It looks for what transactions keep from happening, and another program, a restored part of a backup or a disk
can bring about: mailboxes without sides, nameplates without mailboxes, outboxes that refer to nothing, rows that belong
to nothing, wrong counters, missing usage records, and a damaged file, in which it looks for nothing else. Without
--repair it changes nothing and may run beside a server. With --repair it refuses to run beside a server on a SQLite
file; stop the server first. On PostgreSQL servers may run.

It exits with 1 if something is wrong and was not mended.`
}

// errFlaws is the error of a check that leaves something wrong.
var errFlaws = errors.New("not everything is as it should be")

// found is a flaw as it is printed.
type found struct {
	Kind    rendezvous.FlawKind `json:"kind"`
	Wrong   string              `json:"wrong"`
	Mending string              `json:"mending,omitempty"`
	Mended  bool                `json:"mended"`
	Error   string              `json:"error,omitempty"`
}

// Run checks the database.
func (c *check) Run() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return c.check(ctx, os.Stdout)
}

func (c *check) check(ctx context.Context, out io.Writer) (err error) {
	open := repo.OpenToRead
	if c.Repair {
		open = repo.Open
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	options := repo.Options{URL: c.Database, Connections: 2, Patience: c.Patience, Log: log}
	if c.Repair { // which would make a database where there is none
		if err := exists(ctx, options); err != nil {
			return err
		}
	}
	store, err := open(ctx, options)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	service := &rendezvous.Service{Config: rendezvous.DefaultConfig(), Store: store, Log: log}
	service.Config.Blur, service.Config.UsageRetention, service.Config.Limits.UsageRecords = c.BlurUsage, c.UsageRetention, c.MaxUsageRecords
	if c.Repair {
		replicas, err := store.Notifier()
		if err != nil {
			return err
		}
		if replicas != nil { // the servers are told what changed
			service.Announce = replicas.Announce
			announcing, end := context.WithCancel(context.WithoutCancel(ctx))
			done := make(chan struct{})
			go func() {
				defer close(done)
				replicas.Run(announcing, service)
			}()
			defer func() {
				end()
				<-done
			}()
		}
	}
	return c.report(ctx, service, out)
}

// exists refuses what is no database of ours yet.
func exists(ctx context.Context, o repo.Options) error {
	store, err := repo.OpenToRead(ctx, o)
	if err != nil {
		return err
	}
	return store.Close()
}

// report tells what is wrong, and mends it. What is left over by mending one thing is found in a second round.
func (c *check) report(ctx context.Context, service *rendezvous.Service, out io.Writer) error {
	left := 0
	told := map[rendezvous.Flaw]bool{}
	for {
		flaws, err := rendezvous.Check(ctx, service.Store, service.Config)
		if err != nil {
			return err
		}
		mended := false
		for _, f := range flaws {
			if told[f] {
				continue
			}
			told[f] = true
			line := found{Kind: f.Kind, Wrong: f.Wrong(), Mending: f.Mending()}
			if c.Repair && line.Mending != "" {
				if line.Mended, err = service.Mend(ctx, f); err != nil {
					line.Error = err.Error()
				}
				mended = mended || line.Mended
			}
			if !line.Mended && (!c.Repair || line.Mending == "" || line.Error != "") {
				left++
			}
			if err := c.print(out, line); err != nil {
				return err
			}
		}
		if !mended {
			break
		}
	}
	switch {
	case left > 0:
		return errFlaws
	case len(told) == 0 && !c.JSON:
		_, err := fmt.Fprintln(out, "everything is as it should be")
		return err
	}
	return nil
}

func (c *check) print(out io.Writer, line found) error {
	if c.JSON {
		text, err := json.Marshal(line)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(out, "%s\n", text)
		return err
	}
	what := "would mend it: " + line.Mending
	switch {
	case line.Error != "":
		what = "could not mend it: " + line.Error
	case line.Kind == rendezvous.FlawFile:
		what = "restore it from a backup, or recover what is left with the command: sqlite3 FILE .recover"
	case line.Mending == "":
		what = "nothing mends it"
	case line.Mended:
		what = "mended: " + line.Mending
	case c.Repair:
		what = "it is gone"
	}
	_, err := fmt.Fprintf(out, "%s\n  %s\n", line.Wrong, what)
	return err
}
