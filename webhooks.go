package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"

	"restante/rendezvous"
	"restante/webhooks"
)

// readWebhooks reads a file of webhooks.
func readWebhooks(file string) ([]webhooks.Webhook, error) {
	text, err := os.ReadFile(file) //nolint:gosec // the operator names it
	if err != nil {
		return nil, err
	}
	hooks, err := webhooks.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return hooks, nil
}

// tellWebhooks has the service note what the webhooks of --webhooks are to be told. The sender tells them while it runs; it
// is nil if there are none.
func (c *Config) tellWebhooks(service *rendezvous.Service, log *slog.Logger) (*webhooks.Sender, error) {
	if c.Webhooks == "" {
		return nil, nil //nolint:nilnil // there is nothing to send
	}
	hooks, err := readWebhooks(c.Webhooks)
	if err != nil {
		return nil, fmt.Errorf("--webhooks: %w", err)
	}
	return webhooks.NewSender(service, hooks, log), nil
}

// rereadWebhooks reads the webhooks again. If there is a mistake in them, those from before stay.
func (c *Config) rereadWebhooks(sender *webhooks.Sender, log *slog.Logger) {
	if sender == nil {
		return
	}
	hooks, err := readWebhooks(c.Webhooks)
	if err != nil {
		log.Error("the webhooks stay as they were", "error", err)
		return
	}
	sender.Set(hooks)
	log.Info("read the webhooks again", "file", c.Webhooks, "webhooks", len(hooks))
}

// webhooksCommands is `restante webhooks`.
type webhooksCommands struct {
	Check checkWebhooks `cmd:"" help:"Find a mistake in a file of webhooks."`
}

// checkWebhooks is `restante webhooks check`.
type checkWebhooks struct {
	File string `arg:"" help:"The file of webhooks."`
}

// Run checks a file.
func (c *checkWebhooks) Run() error {
	hooks, err := readWebhooks(c.File)
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, err)
		return errors.New("a server would not take these webhooks")
	}
	_, err = fmt.Fprintf(os.Stdout, "%s: %d webhooks\n", c.File, len(hooks))
	return err
}
