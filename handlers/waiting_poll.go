package handlers

import (
	"bytes"
	"context"
	"net/http"
	"net/netip"
	"strconv"
	"time"
	"unique"

	"restante/rendezvous"
)

// waitingPoll is a long-poll that is held, on a goroutine or without one. It is an [idleconn.Repeater]: without one, it
// sends its heartbeats itself, and waits anew when its client asks again.
type waitingPoll struct {
	*rendezvous.Poll

	began   time.Time
	server  *Server
	client  netip.Addr
	address string
	// head is what the headers of the answer are that do not change from one heartbeat to the next. Without it, the poll is
	// answered by its handler.
	head    unique.Handle[string]
	refused error // why the poll could not wait anew; its handler answers
}

// changingHeaders are the headers of a heartbeat that differ from those of the one before.
var changingHeaders = map[string]bool{"X-Request-Id": true, "Ratelimit": true, "Ratelimit-Policy": true}

// keepHead keeps the headers of the answer, from what the chain of handlers has set. A request that is traced has its
// spans from its handler.
func (p *waitingPoll) keepHead(h http.Header, info *requestInfo) {
	if p.head != (unique.Handle[string]{}) || info.span != nil || info.trace != "" {
		return
	}
	var head bytes.Buffer
	_ = h.WriteSubset(&head, changingHeaders) // a buffer takes all
	head.WriteString("Content-Type: application/json\r\n")
	p.head = unique.Make(head.String())
}

// OnReady implements [idleconn.Waiter].
func (p *waitingPoll) OnReady(f func()) {
	if p.refused != nil {
		f()
		return
	}
	p.Poll.OnReady(f)
}

// Answer implements [idleconn.Repeater]. The answer is a heartbeat, the same as from the handler.
func (p *waitingPoll) Answer(into []byte) []byte {
	if p.refused != nil || p.head == (unique.Handle[string]{}) {
		return nil
	}
	ctx := context.Background()
	p.Allow(smallAnswer)
	got, is := p.Heartbeat(ctx)
	if !is {
		return nil
	}
	p.Close()
	info := requestInfo{began: p.began, address: p.address, session: new(p.Session()), id: newRequestID(), status: http.StatusOK}
	received(got).encode(func(body []byte) {
		info.sent = int64(len(body))
		into = append(p.appendHead(into, &info, got), body...)
	})
	p.server.ended(ctx, p.server.metrics, &info, http.MethodGet, eventsPath)
	return into
}

// appendHead appends the head of an answer (RFC 9112, §4).
func (p *waitingPoll) appendHead(into []byte, info *requestInfo, got rendezvous.Delivery) []byte {
	now := time.Now()
	into = append(into, "HTTP/1.1 200 OK\r\n"...)
	into = append(into, p.head.Value()...)
	field := func(name, value string) {
		into = append(append(append(append(into, name...), ": "...), value...), "\r\n"...)
	}
	field("Ack", strconv.FormatInt(int64(got.Wanted), 10))
	if policy, left := p.server.limiters.state(p.address, now); policy != "" {
		field("Ratelimit", left)
		field("Ratelimit-Policy", policy)
	}
	field("X-Request-Id", info.id)
	field("Content-Length", strconv.FormatInt(info.sent, 10))
	into = append(now.UTC().AppendFormat(append(into, "Date: "...), http.TimeFormat), "\r\n\r\n"...)
	return into
}

// Repeat implements [idleconn.Repeater]. It is admitted, or else its handler refuses it.
func (p *waitingPoll) Repeat() bool {
	s, now := p.server, time.Now()
	address := s.Service.AddressID(p.client)
	verdict := s.rules.Load().OfAddress(p.client, address)
	if verdict.Refuse != "" || verdict.Delay > 0 || s.limiters.exhausted(address, now) || s.limiters.allow(address, now) != nil {
		return false
	}
	p.began, p.address = now, address
	poll, err := p.Poll.Repeat(context.Background(), smallAnswer)
	if p.refused = err; err == nil {
		p.Poll = poll
	}
	return true
}
