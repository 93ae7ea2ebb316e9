package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"restante/internal/operator"
)

// showStatus is `restante status`.
type showStatus struct{ operator.StatusCommand }

// Run prints the status of a server.
func (s *showStatus) Run() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	info, err := os.Stdout.Stat()
	return s.Print(ctx, os.Stdout, err == nil && info.Mode()&os.ModeCharDevice != 0 && !s.JSON)
}

// showUsage is `restante usage`.
type showUsage struct{ operator.UsageCommand }

// Run prints how a server is used.
func (u *showUsage) Run() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return u.Print(ctx, os.Stdout)
}
