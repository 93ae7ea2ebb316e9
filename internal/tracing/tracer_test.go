package tracing_test

import (
	"net/http"
	"testing"
	"time"

	"restante/internal/tracing"
)

// TestOffCostsNothing holds that a tracer that is nil, as it is unless traces are asked for, allocates nothing.
func TestOffCostsNothing(t *testing.T) {
	var off *tracing.Tracer
	ctx, header, began, frames := t.Context(), http.Header{}, time.Now(), [][]byte{[]byte(`{"type":"message"}`)}
	if n := testing.AllocsPerRun(100, func() {
		inRequest, request := off.Request(ctx, header, began)
		inStep, step := off.Start(inRequest, "deliver")
		off.Transaction(inStep, time.Second, true)
		off.Added(inStep, "mailbox", 1, began)
		step.DeliversFrames(frames)
		step.Delivers()
		step.End(nil)
		request.EndRequest("GET", "/v1", 200, "", "id")
		if request.TraceID() != "" || inStep != ctx {
			t.Error("there is a trace")
		}
	}); n != 0 {
		t.Errorf("it allocates %v times", n)
	}
	if err := off.Close(ctx); err != nil {
		t.Error(err)
	}
}

// BenchmarkOff measures what a request costs for traces while there are none.
func BenchmarkOff(b *testing.B) {
	var off *tracing.Tracer
	ctx, header, began := b.Context(), http.Header{}, time.Now()
	b.ReportAllocs()
	for b.Loop() {
		inRequest, request := off.Request(ctx, header, began)
		off.Transaction(inRequest, time.Second, true)
		request.EndRequest("GET", "/v1", 200, "", "id")
	}
}

func TestBadEndpoints(t *testing.T) {
	for _, endpoint := range []string{"", "localhost:4318", "ftp://localhost", "http://", "http://%"} {
		if _, err := tracing.New(t.Context(), tracing.Options{Endpoint: endpoint}); err == nil {
			t.Errorf("%q is taken", endpoint)
		}
	}
}
