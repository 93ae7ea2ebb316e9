package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	"restante/rendezvous"
	"restante/webhooks"
)

// tellWebhooks has the service note what the webhooks of --webhooks are to be told. What it returns tells them, until
// its context ends.
func (c *Config) tellWebhooks(service *rendezvous.Service, log *slog.Logger) (func(context.Context), error) {
	if c.Webhooks == "" {
		return func(context.Context) {}, nil
	}
	file, err := os.ReadFile(c.Webhooks)
	if err != nil {
		return nil, fmt.Errorf("--webhooks: %w", err)
	}
	hooks, err := webhooks.Parse(file)
	if err != nil {
		return nil, fmt.Errorf("--webhooks %s: %w", c.Webhooks, err)
	}
	return webhooks.NewSender(service, hooks, log).Run, nil
}
