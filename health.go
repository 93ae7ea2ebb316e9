package main

import (
	"context"
	"errors"
	"fmt"

	"restante/internal/operator"
)

// health is `restante health`, for machines without curl such as our container.
type health struct {
	operator.Connection `embed:"" set:"timeout=3s"`
}

// Run asks whether the server is ready.
func (h *health) Run() error {
	err := h.Ready(context.Background())
	if refused, ok := errors.AsType[*operator.Refused](err); ok {
		return fmt.Errorf("not ready: %w", refused)
	}
	if err != nil {
		return err
	}
	_, err = fmt.Println("ready")
	return err
}
