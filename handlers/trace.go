package handlers

import (
	"context"
	"net/http"

	"restante/internal/tracing"
	"restante/rendezvous"
)

// traced begins the span of a request, and returns the request's context with it. Probes have none. A poll that waited
// without a goroutine is served again and begins its span anew, at the time when it came; the first span is never ended,
// and so never exported.
func (s *Server) traced(r *http.Request, info *requestInfo) context.Context {
	switch r.URL.Path {
	case "/livez", "/readyz", "/metrics":
		return r.Context()
	}
	ctx, span := s.Tracer.Request(r.Context(), r.Header, info.began)
	if span != nil {
		info.span, info.trace = span, span.TraceID()
	}
	return ctx
}

// tracePage links the span of a read to the adds of the messages in its answer.
func tracePage(span *tracing.Span, mailbox rendezvous.MailboxID, page rendezvous.Page) {
	if span == nil {
		return
	}
	for _, m := range page.Messages {
		span.Delivers(tracing.Message{Mailbox: string(mailbox), Position: int64(m.Position), Received: m.Received.UnixMilli()})
	}
}
