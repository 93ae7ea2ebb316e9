package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// health is `restante health`, for machines without curl such as our container.
type health struct {
	URL     string        `default:"http://localhost:4000" help:"Where the server is (${default})."`
	Timeout time.Duration `default:"3s" help:"How long to wait for its answer (${default})."`
}

// Run asks whether the server is ready.
func (h *health) Run() error {
	ctx, cancel := context.WithTimeout(context.Background(), h.Timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimRight(h.URL, "/")+"/readyz", http.NoBody)
	if err != nil {
		return fmt.Errorf("--url: %w", err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close() //nolint:errcheck // only read from
	body, err := io.ReadAll(io.LimitReader(response.Body, 64<<10))
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("not ready: %s %s", response.Status, bytes.TrimSpace(body))
	}
	_, err = fmt.Println("ready")
	return err
}
