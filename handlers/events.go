package handlers

import (
	"bytes"
	"context"
	"encoding/json"
	"math"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"restante/api"
	"restante/internal/idleconn"
	"restante/rendezvous"
)

// Receive is GET /v1/session/events, by long-poll or as a stream.
func (s *Server) Receive(ctx context.Context, r api.ReceiveRequestObject) (api.ReceiveResponseObject, error) {
	ask := rendezvous.ReceiveRequest{Session: caller(ctx), Epoch: olderEpoch(ctx, r.Params.EpochQuery), Ack: number(r.Params.AckQuery), Wait: requestedWait(r.Params)}
	if header := number(r.Params.Ack); header != nil && (ask.Ack == nil || *header > *ask.Ack) {
		ask.Ack = header // both say what is processed: the higher one holds
	}
	how := infoIn(ctx).receives
	if last := number(r.Params.LastEventID); last != nil {
		ask.From = new(*last + 1)
		if how.streaming && ask.Ack != nil && *ask.Ack < *ask.From {
			ask.Ack = number(r.Params.Ack) // a library that connects again repeats the URL with which it began
		}
	}
	if how.streaming {
		return s.stream(ctx, how.r, ask)
	}
	ask.Bytes = how.place.take()
	got, answered, err := s.poll(ctx, ask, how)
	switch {
	case err != nil:
		return nil, err
	case !answered:
		return noAnswer{}, nil
	}
	infoOf(how.r).span.DeliversFrames(got.Frames)
	replyWanted(ctx, got.Wanted)
	return received(got), nil
}

// received is [api.Receive200JSONResponse], written without encoding again what the frames are stored as.
type received rendezvous.Delivery

// VisitReceiveResponse implements [api.ReceiveResponseObject].
func (d received) VisitReceiveResponse(w http.ResponseWriter) (err error) {
	d.encode(func(body []byte) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		w.WriteHeader(http.StatusOK)
		_, err = w.Write(body)
	})
	return err
}

// encode calls use with the body of the answer, which is no longer valid after that.
func (d received) encode(use func(body []byte)) {
	answer := answerBuffers.Get().(*bytes.Buffer) //nolint:forcetypeassert // it has nothing else
	defer func() {
		if answer.Reset(); answer.Cap() <= maxAnswerBuffer {
			answerBuffers.Put(answer)
		}
	}()
	number := func(name string, n int64) {
		answer.WriteString(name)
		answer.Write(strconv.AppendInt(answer.AvailableBuffer(), n, 10))
	}
	number(`{"ack":`, int64(d.Wanted))
	answer.WriteString(`,"frames":[`)
	for i, frame := range d.Frames {
		if i > 0 {
			answer.WriteByte(',')
		}
		json.HTMLEscape(answer, frame) // as in every answer that is generated
	}
	answer.WriteString(`],"heartbeat":`)
	answer.Write(strconv.AppendBool(answer.AvailableBuffer(), len(d.Frames) == 0))
	number(`,"nextWaitMs":`, d.NextWait.Milliseconds())
	number(`,"serverTime":`, d.Now.UnixMilli())
	answer.WriteString("}\n")
	use(answer.Bytes())
}

// answerBuffers are shared by the answers, which need one only while they are written.
var answerBuffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// maxAnswerBuffer is the largest buffer that is kept for another time, in bytes.
const maxAnswerBuffer = 64 << 10

const (
	// forever is longer than any hold.
	forever time.Duration = math.MaxInt64
	// idleAfter is how long a session has had no frames when its polls leave their goroutines at once: most come
	// only to wait.
	idleAfter = 2 * time.Second
)

// poll receives by long-poll. A poll that waits for long leaves its goroutine, if it can: then there is no
// answer, and none may be given. The request is served again later, and continues here.
func (s *Server) poll(ctx context.Context, ask rendezvous.ReceiveRequest, how receiving) (_ rendezvous.Delivery, answered bool, err error) {
	n := infoOf(how.r)
	poll := n.poll
	switch {
	case poll == nil:
		started, err := s.Service.StartPoll(context.WithoutCancel(ctx), ask) // see toItsEnd
		if err != nil {
			return rendezvous.Delivery{}, false, err
		}
		poll = &waitingPoll{Poll: started, began: n.began, server: s, client: n.client, address: n.address}
	case poll.refused != nil:
		return rendezvous.Delivery{}, false, poll.refused
	default:
		poll.Allow(ask.Bytes)
	}
	waits := false
	defer func() {
		if !waits {
			poll.Close()
		}
	}()
	linger := s.Limits.Linger
	if poll.IdleFor(idleAfter) {
		linger = 0
	}
	if ask.Wait != nil && *ask.Wait == 0 {
		ctx = context.WithoutCancel(ctx)
	}
	for {
		got, answered, err := poll.Wait(ctx, 0)
		if err != nil || answered {
			return got, answered, err
		}
		how.place.giveBack()
		if !isReady(ctx, poll, linger) {
			poll.keepHead(how.w.Header(), n)
			if waits = idleconn.Wait(how.w, how.r, poll); waits {
				return rendezvous.Delivery{}, false, nil
			}
			isReady(ctx, poll, forever)
		}
		poll.Allow(how.place.take())
	}
}

// isReady waits on this goroutine until a poll or a read is ready, or ctx ends. It returns false if that takes longer
// than atMost.
func isReady(ctx context.Context, waiter idleconn.Waiter, atMost time.Duration) bool {
	ready := make(chan struct{})
	waiter.OnReady(func() { close(ready) })
	late := time.NewTimer(atMost)
	defer late.Stop()
	select {
	case <-ready:
	case <-ctx.Done():
	case <-late.C:
		return false
	}
	return true
}

// noAnswer is the answer of a poll that waits without a goroutine.
type noAnswer struct{}

// VisitReceiveResponse implements [api.ReceiveResponseObject].
func (noAnswer) VisitReceiveResponse(http.ResponseWriter) error { return nil }

// requestedWait returns how long the client wants to wait, from the query or else from a preference (RFC 7240, §4.3).
func requestedWait(p api.ReceiveParams) *time.Duration {
	if p.Wait != nil {
		return new(time.Duration(*p.Wait) * time.Second)
	}
	if p.Prefer == nil {
		return nil
	}
	for _, preference := range splitUnquoted(*p.Prefer, ',') {
		preference = splitUnquoted(preference, ';')[0] // without its parameters
		name, value, _ := strings.Cut(preference, "=")
		seconds, err := strconv.ParseUint(unquote(strings.TrimSpace(value)), 10, 16)
		if err != nil || !strings.EqualFold(strings.TrimSpace(name), "wait") {
			continue // an unknown preference is ignored
		}
		return new(time.Duration(seconds) * time.Second) // #nosec G115 -- 16 bits
	}
	return nil
}

// Acknowledge is POST /v1/session/ack.
func (s *Server) Acknowledge(ctx context.Context, r api.AcknowledgeRequestObject) (api.AcknowledgeResponseObject, error) {
	q := query(ctx, r.Body.Ack)
	q.Epoch = olderEpoch(ctx, r.Body.Epoch)
	if header := number(r.Params.Ack); header != nil && *header > *q.Ack {
		q.Ack = header
	}
	a, err := s.Service.Acknowledge(ctx, q)
	kept, err := resultOf(ctx, a, err)
	if err != nil {
		return nil, err
	}
	return api.Acknowledge200JSONResponse{Ack: int64(a.Wanted), NextSentSeq: int64(kept)}, nil
}

// receiving is how a request receives frames.
type receiving struct {
	streaming bool
	place     *answerPlace // nil for a stream
	w         http.ResponseWriter
	r         *http.Request
}

// negotiateReceive is middleware for receiving. The answer is JSON, or a stream if Accept names that and [prefers] it.
func (s *Server) negotiateReceive(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Add("Vary", "Accept")
		accept := r.Header.Values("Accept")
		how := receiving{w: w, r: r}
		switch {
		case prefers(accept, eventStreamType):
			how.streaming = true
		case weight(accept, "application/json") == 0:
			s.fail(w, r, &rendezvous.Failure{Code: notAcceptable, Detail: "frames come as application/json and as text/event-stream"})
			return
		}
		if r.Header.Get("Last-Event-ID") == "" {
			r.Header.Del("Last-Event-ID") // no event had an id so far (HTML, §9.2.4)
		}
		if preferences := r.Header.Values("Prefer"); len(preferences) > 1 {
			r.Header.Set("Prefer", strings.Join(preferences, ", ")) // several lines are one list (RFC 9110, §5.3)
		}
		if !how.streaming {
			how.place = s.placeFor(addressOf(r.Context()))
			defer how.place.giveBack()
		}
		infoOf(r).receives = how
		next.ServeHTTP(w, r)
	})
}
