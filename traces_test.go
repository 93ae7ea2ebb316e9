package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"testing"

	"restante/internal/tracing/tracingtest"
)

// TestTracesAreExportedAtAStop checks that --otlp-endpoint has requests traced, and that a stop loses none of them.
func TestTracesAreExportedAtAStop(t *testing.T) {
	t.Parallel()
	spans := tracingtest.Start(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	c := settings(t)
	c.OTLPEndpoint = spans.URL
	ready, ended := make(chan []net.Addr, 1), make(chan error, 1)
	c.Ready = func(a []net.Addr) { ready <- a }
	go func() { ended <- run(ctx, c, slog.New(slog.DiscardHandler)) }()
	var at net.Addr
	select {
	case addresses := <-ready:
		at = addresses[0]
	case err := <-ended:
		t.Fatalf("run ended at once: %v", err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://%v/v1/session", at), http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if got := spans.Spans("GET /v1/session"); len(got) != 1 {
		t.Errorf("the spans are %+v", got)
	}
}
