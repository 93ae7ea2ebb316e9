package handlers

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"restante/api"
	"restante/rendezvous"
	"restante/session"
)

const eventStreamType = "text/event-stream"

// stream begins the event stream that answers a receive.
func (s *Server) stream(ctx context.Context, ask rendezvous.ReceiveRequest) (api.ReceiveResponseObject, error) {
	leave, admitted := s.sockets.enter(addressOf(ctx), s.Limits.Sockets)
	if !admitted {
		return nil, tooManySockets()
	}
	stream, first, err := s.Service.Stream(ctx, ask)
	if err != nil {
		leave()
		return nil, err
	}
	replyWanted(ctx, first.Wanted)
	return &eventStream{ctx: ctx, server: s, stream: stream, first: first, leave: leave, open: &s.open.streams, limit: s.Limits.WriteTime, address: addressOf(ctx)}, nil
}

// eventStream answers a receive with server-sent events (HTML, §9.2).
type eventStream struct {
	ctx    context.Context // of the request
	server *Server
	stream *rendezvous.Stream
	first  rendezvous.Delivery
	leave  func()
	open   *atomic.Int64
	limit  time.Duration // in which the client must read what is sent

	address string // what stands for the client's
}

// VisitReceiveResponse implements [api.ReceiveResponseObject].
func (e *eventStream) VisitReceiveResponse(w http.ResponseWriter) error {
	defer e.leave()
	defer hold(e.open)()
	defer e.stream.Close()
	w.Header().Set("Content-Type", eventStreamType)
	w.Header().Set("X-Accel-Buffering", "no") // otherwise nginx holds it back
	w.WriteHeader(http.StatusOK)
	err := e.send(w, event("heartbeat", heartbeat(e.first)))
	for err == nil {
		var got rendezvous.Delivery
		var beat bool
		got, beat, err = e.stream.Next()
		if err != nil {
			return e.end(w, err)
		}
		var events bytes.Buffer
		for _, frame := range got.Frames {
			events.Write(frameEvent(frame))
		}
		if beat {
			events.Write(event("heartbeat", heartbeat(got)))
		}
		err = e.deliver(w, got.Frames, events.Bytes())
	}
	return err
}

// deliver sends the events of frames, and traces that.
func (e *eventStream) deliver(w http.ResponseWriter, frames [][]byte, events []byte) error {
	if len(frames) == 0 {
		return e.send(w, events)
	}
	_, span := e.server.Tracer.Start(e.ctx, "deliver")
	span.DeliversFrames(frames)
	err := e.send(w, events)
	span.End(err)
	return err
}

// end sends the reason why the stream ends.
func (e *eventStream) end(w http.ResponseWriter, why error) error {
	p := e.server.finalProblem(why, e.address)
	if p.RetryAfterMs != nil {
		p := event("error", p)
		return e.send(w, append(fmt.Appendf(nil, "retry: %d\n", retryAfter.Milliseconds()), p...))
	}
	_ = e.send(w, event("error", p)) // a client that left does not read it
	return why
}

// send writes events and flushes them. A client that does not read them is cut off. The deadline is removed while
// nothing is sent: over HTTP/2, it would end the stream.
func (e *eventStream) send(w http.ResponseWriter, events []byte) error {
	connection := http.NewResponseController(w)
	_ = connection.SetWriteDeadline(time.Now().Add(e.limit)) // a test's ResponseWriter may have none
	if _, err := w.Write(events); err != nil {
		return err
	}
	if err := connection.Flush(); err != nil {
		if errors.Is(err, os.ErrDeadlineExceeded) {
			e.server.closedAt(limitSlowReader, e.address)
		}
		return err
	}
	_ = connection.SetWriteDeadline(time.Time{})
	return nil
}

// event returns an event with one line of JSON.
func event(name string, data any) []byte {
	return fmt.Appendf(nil, "event: %s\ndata: %s\n\n", name, encode(data))
}

// frameEvent returns the event of a frame. A frame is stored as one line.
func frameEvent(frame []byte) []byte {
	var numbered struct {
		Seq session.Seq `json:"seq"`
	}
	if err := json.Unmarshal(frame, &numbered); err != nil {
		panic("unreachable: a frame is stored as it was encoded: " + err.Error())
	}
	return fmt.Appendf(nil, "event: frame\nid: %d\ndata: %s\n\n", numbered.Seq, frame)
}

// heartbeat returns the heartbeat of a stream or a socket.
func heartbeat(r rendezvous.Delivery) api.Heartbeat {
	return api.Heartbeat{Ack: int64(r.Wanted), NextWaitMs: r.NextWait.Milliseconds(), ServerTime: r.Now.UnixMilli()}
}
