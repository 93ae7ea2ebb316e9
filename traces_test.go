package main

import (
	"context"
	"fmt"
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
	at, ended := serving(ctx, t, c)
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
