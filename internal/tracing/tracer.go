// Package tracing tells an OpenTelemetry collector what requests did, and links the delivery of a message to its add. It
// is the only package that knows OpenTelemetry. A nil [*Tracer] traces nothing, and costs nothing.
package tracing

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// Options say where traces go.
type Options struct {
	// Endpoint is the URL of an OTLP/HTTP receiver, to which v1/traces is added.
	Endpoint string
	Version  string // of the program
	Log      *slog.Logger
}

// Tracer makes spans and exports them. Its methods may be called on nil.
type Tracer struct {
	provider *sdktrace.TracerProvider
	tracer   trace.Tracer
	adds     adds
}

// New makes a tracer. It reads the variables OTEL_… of the environment as the OpenTelemetry SDK does. It does not wait
// for the receiver.
func New(ctx context.Context, o Options) (*Tracer, error) {
	endpoint, err := url.Parse(o.Endpoint)
	if err != nil || endpoint.Host == "" || endpoint.Scheme != "http" && endpoint.Scheme != "https" {
		return nil, fmt.Errorf("%q is no URL of http:// or https://", o.Endpoint)
	}
	exporter, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(endpoint.JoinPath("v1/traces").String()))
	if err != nil {
		return nil, err
	}
	described, err := resource.New(ctx,
		resource.WithAttributes(attribute.String("service.name", "restante"), attribute.String("service.version", o.Version)),
		resource.WithFromEnv(), resource.WithTelemetrySDK())
	if err != nil {
		return nil, err
	}
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { o.Log.Warn("cannot export traces", "error", err) }))
	provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(described))
	return &Tracer{provider: provider, tracer: provider.Tracer("restante")}, nil
}

// Close exports what is left.
func (t *Tracer) Close(ctx context.Context) error {
	if t == nil {
		return nil
	}
	return t.provider.Shutdown(ctx)
}

// Span is a step that is traced. Its methods may be called on nil.
type Span struct {
	t    *Tracer
	span trace.Span
}

// Request begins the span of a request that came at a time. It belongs to the trace that the request's traceparent
// names, if it names one. The returned context has the span.
func (t *Tracer) Request(ctx context.Context, header http.Header, began time.Time) (context.Context, *Span) {
	if t == nil {
		return ctx, nil
	}
	ctx = propagation.TraceContext{}.Extract(ctx, propagation.HeaderCarrier(header))
	ctx, span := t.tracer.Start(ctx, "request", trace.WithTimestamp(began), trace.WithSpanKind(trace.SpanKindServer)) //nolint:spancheck // Span.End ends it
	return ctx, &Span{t, span}                                                                                        //nolint:spancheck // Span.End ends it
}

// Detach returns a context that has the span of ctx, if there is one, and nothing else of it. It does not end.
func Detach(ctx context.Context) context.Context {
	if span := trace.SpanFromContext(ctx); span.SpanContext().IsValid() {
		return trace.ContextWithSpan(context.Background(), span)
	}
	return context.Background()
}

// Start begins a span below that of the context, or a trace of its own if there is none.
func (t *Tracer) Start(ctx context.Context, name string) (context.Context, *Span) {
	if t == nil {
		return ctx, nil
	}
	ctx, span := t.tracer.Start(ctx, name) //nolint:spancheck // Span.End ends it
	return ctx, &Span{t, span}             //nolint:spancheck // Span.End ends it
}

// Transaction adds the span of a transaction that has just ended below that of the context, if there is one.
func (t *Tracer) Transaction(ctx context.Context, took time.Duration, wrote bool) {
	if t == nil || !trace.SpanContextFromContext(ctx).IsValid() {
		return
	}
	now := time.Now()
	_, span := t.tracer.Start(ctx, "transaction", trace.WithTimestamp(now.Add(-took)), trace.WithAttributes(attribute.Bool("restante.wrote", wrote)))
	span.End(trace.WithTimestamp(now))
}

// TraceID returns the trace that the span belongs to, as a traceparent names it; "" if there is no span.
func (s *Span) TraceID() string {
	if s == nil {
		return ""
	}
	return s.span.SpanContext().TraceID().String()
}

// EndRequest ends the span of a request: what it was, and what became of it. status is 0 if its client left.
func (s *Span) EndRequest(method, route string, status int, code, id string) {
	if s == nil {
		return
	}
	s.span.SetName(method + " " + route)
	s.span.SetAttributes(
		attribute.String("http.request.method", method), attribute.String("http.route", route),
		attribute.Int("http.response.status_code", status), attribute.String("restante.request", id),
	)
	if code != "" {
		s.span.SetAttributes(attribute.String("error.type", code))
	}
	if status >= http.StatusInternalServerError {
		s.span.SetStatus(codes.Error, code)
	}
	s.span.End()
}

// End ends the span of a step that failed with err, or did not.
func (s *Span) End(err error) {
	if s == nil {
		return
	}
	if err != nil {
		s.span.SetStatus(codes.Error, "")
	}
	s.span.End()
}
