package tracing

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
)

// addsKept is how many messages a delivery finds the add of. Most are delivered at once.
const addsKept = 10_000

// Message identifies a message, without its app: its mailbox, its place there and when it was received.
type Message struct {
	Mailbox  string
	Position int64
	Received int64 // Unix milliseconds
}

// adds are the spans in which the last messages were added, by this process. The oldest is forgotten first.
type adds struct {
	mu   sync.Mutex
	by   map[Message]trace.SpanContext
	ring []Message
	next int
}

func (a *adds) put(m Message, in trace.SpanContext) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.by == nil {
		a.by, a.ring = map[Message]trace.SpanContext{}, make([]Message, addsKept)
	}
	delete(a.by, a.ring[a.next])
	a.by[m], a.ring[a.next] = in, m
	a.next = (a.next + 1) % addsKept
}

func (a *adds) find(m Message) (trace.SpanContext, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	in, known := a.by[m]
	return in, known
}

// Added remembers that a message was added in the span of the context.
func (t *Tracer) Added(ctx context.Context, mailbox string, position int64, received time.Time) {
	if t == nil {
		return
	}
	if in := trace.SpanContextFromContext(ctx); in.IsSampled() {
		t.adds.put(Message{mailbox, position, received.UnixMilli()}, in)
	}
}

// Delivers links the span to the adds of messages that are delivered in it.
func (s *Span) Delivers(messages ...Message) {
	if s == nil {
		return
	}
	for _, m := range messages {
		if in, known := s.t.adds.find(m); known {
			s.span.AddLink(trace.Link{SpanContext: in, Attributes: []attribute.KeyValue{attribute.String("restante.link", "added")}})
		}
	}
}

// DeliversFrames is Delivers for the messages among frames.
func (s *Span) DeliversFrames(frames [][]byte) {
	if s == nil {
		return
	}
	for _, frame := range frames {
		var of struct {
			Type     string `json:"type"`
			Mailbox  string `json:"mailbox"`
			Position int64  `json:"position"`
			ServerRx int64  `json:"serverRx"`
		}
		if json.Unmarshal(frame, &of) == nil && of.Type == "message" {
			s.Delivers(Message{of.Mailbox, of.Position, of.ServerRx})
		}
	}
}
