package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"

	"restante/handlers"
	"restante/internal/rules"
	"restante/rendezvous"
)

// Admission is which clients are admitted.
type Admission struct {
	Apps  []string `group:"Who may connect" placeholder:"APP" help:"The apps that are served; by default all. Clients of any other are refused. Repeat for more."`
	Rules string   `group:"Who may connect" placeholder:"FILE" help:"A file of rules that refuse, slow down or tell clients something, by address, app and client version. It is read again at SIGHUP. 'restante rules check FILE' finds mistakes in it."`
}

// admit refuses the clients of apps that are not served, and those that --reject-client names.
func (c *Config) admit(_ context.Context, n rendezvous.ClientInfo) error {
	if len(c.Apps) > 0 && !slices.Contains(c.Apps, string(n.App)) {
		return &rendezvous.Failure{Code: rendezvous.RejectedByCustomHandler, Detail: "this server is only for certain apps, and this app ('appId') is none of them"}
	}
	said := n.Client[0] + "/" + n.Client[1]
	for _, pattern := range c.RejectClient {
		if rules.Match(pattern, said) {
			return &rendezvous.Failure{Code: rendezvous.RejectedUnsupportedAgent, Detail: "this server does not take this version of the client; update it"}
		}
	}
	return nil
}

// applyRules reads the rules, if there are any, and applies them from now on.
func (a *Admission) applyRules(api *handlers.Server, log *slog.Logger) error {
	if a.Rules == "" {
		return nil
	}
	read, err := rules.Read(a.Rules)
	if err != nil {
		return fmt.Errorf("--rules: %w", err)
	}
	api.SetRules(read)
	log.Info("read the rules", "file", a.Rules, "rules", read.Len())
	return nil
}

// rereadRules reads the rules again. If there is a mistake in them, those from before stay.
func (a *Admission) rereadRules(api *handlers.Server, log *slog.Logger) {
	if err := a.applyRules(api, log); err != nil {
		log.Error("the rules stay as they were", "error", err)
	}
}

// rulesCommands is `restante rules`.
type rulesCommands struct {
	Check checkRules `cmd:"" help:"Find mistakes in a file of rules, and name their lines."`
}

// checkRules is `restante rules check`.
type checkRules struct {
	File string `arg:"" help:"The file of rules."`
}

// Run checks a file. It prints each mistake on a line of its own.
func (c *checkRules) Run() error {
	read, err := rules.Read(c.File)
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, err)
		return errors.New("a server would not take these rules")
	}
	_, err = fmt.Fprintf(os.Stdout, "%s: %d rules\n", c.File, read.Len())
	return err
}
