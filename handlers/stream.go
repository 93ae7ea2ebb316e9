package handlers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"time"

	"restante/api"
	"restante/internal/idleconn"
	"restante/rendezvous"
	"restante/session"
)

const eventStreamType = "text/event-stream"

// stream begins the event stream that answers a receive.
func (s *Server) stream(ctx context.Context, r *http.Request, ask rendezvous.ReceiveRequest) (api.ReceiveResponseObject, error) {
	address := addressOf(ctx)
	leave, admitted := s.sockets.enter(address, s.Limits.Sockets)
	if !admitted {
		return nil, tooManySockets()
	}
	frames, first, err := s.Service.Stream(context.WithoutCancel(ctx), ask) // see toItsEnd
	if err != nil {
		leave()
		return nil, err
	}
	replyWanted(ctx, first.Wanted)
	return &streamAnswer{&eventStream{server: s, frames: frames, address: address, leave: leave}, ctx, r, first}, nil
}

// eventStream sends a session's frames as server-sent events (HTML, §9.2).
type eventStream struct {
	server  *Server
	frames  *rendezvous.Stream
	address string // what stands for the client's
	leave   func() // gives the stream's place back
	count   func() // counts the stream as closed
}

// streamAnswer answers a receive with an event stream.
type streamAnswer struct {
	*eventStream

	ctx   context.Context // of the request
	r     *http.Request
	first rendezvous.Delivery
}

// VisitReceiveResponse implements [api.ReceiveResponseObject]. Once the stream has begun, it leaves the request, if it
// can.
func (a *streamAnswer) VisitReceiveResponse(w http.ResponseWriter) error {
	a.count = hold(&a.server.open.streams)
	left := false
	defer func() {
		if !left {
			a.close()
		}
	}()
	w.Header().Set("Content-Type", eventStreamType)
	w.Header().Set("X-Accel-Buffering", "no") // otherwise nginx holds it back
	w.WriteHeader(http.StatusOK)
	send := func(events []byte) error { return a.send(w, events) }
	err := send(event("heartbeat", heartbeat(a.first)))
	if err != nil {
		return err
	}
	if answer, is := idleconn.Detach(w, a.r); is {
		left = true
		goOn(a.ctx, a.eventStream, answer, infoOf(a.r))
		return nil
	}
	for err == nil {
		var got rendezvous.Delivery
		var beat bool
		if got, beat, err = a.frames.Next(a.ctx); err != nil {
			return a.end(err, send)
		}
		err = a.deliver(a.ctx, got, beat, send)
	}
	return err
}

// send writes events and flushes them. A client that does not read them is cut off. The deadline is removed while
// nothing is sent: over HTTP/2, it would end the stream.
func (e *eventStream) send(w http.ResponseWriter, events []byte) error {
	connection := http.NewResponseController(w)
	_ = connection.SetWriteDeadline(time.Now().Add(e.server.Limits.WriteTime)) // a test's ResponseWriter may have none
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

// deliver sends what the stream has, and traces that if there are frames.
func (e *eventStream) deliver(ctx context.Context, got rendezvous.Delivery, beat bool, send func(events []byte) error) error {
	var events bytes.Buffer
	for i, frame := range got.Frames {
		writeFrameEvent(&events, got.First+session.Seq(i), frame)
	}
	if beat {
		events.Write(event("heartbeat", heartbeat(got)))
	}
	if len(got.Frames) == 0 {
		return send(events.Bytes())
	}
	_, span := e.server.Tracer.Start(ctx, "deliver")
	span.DeliversFrames(got.Frames)
	err := send(events.Bytes())
	span.End(err)
	return err
}

// end sends the reason why the stream ends. It returns nil if the client is to come back to it.
func (e *eventStream) end(why error, send func(events []byte) error) error {
	p := e.server.finalProblem(why, e.address)
	if p.RetryAfterMs != nil {
		return send(append(fmt.Appendf(nil, "retry: %d\n", retryAfter.Milliseconds()), event("error", p)...))
	}
	_ = send(event("error", p)) // a client that left does not read it
	return why
}

// close releases what the stream holds.
func (e *eventStream) close() {
	e.frames.Close()
	e.count()
	e.leave()
}

// event returns an event with one line of JSON.
func event(name string, data any) []byte {
	return fmt.Appendf(nil, "event: %s\ndata: %s\n\n", name, encode(data))
}

// writeFrameEvent writes the event of a frame. A frame is stored as one line.
func writeFrameEvent(to *bytes.Buffer, seq session.Seq, frame []byte) {
	to.WriteString("event: frame\nid: ")
	to.WriteString(strconv.FormatInt(int64(seq), 10))
	to.WriteString("\ndata: ")
	to.Write(frame)
	to.WriteString("\n\n")
}

// heartbeat returns the heartbeat of a stream or a socket.
func heartbeat(r rendezvous.Delivery) api.Heartbeat {
	return api.Heartbeat{Ack: int64(r.Wanted), NextWaitMs: r.NextWait.Milliseconds(), ServerTime: r.Now.UnixMilli()}
}
