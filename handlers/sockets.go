package handlers

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"restante/internal/ws"
	"restante/rendezvous"
)

// upgrade switches a request over to a WebSocket. After idleTimeout of silence, its peer counts as gone; cancel, which ends
// ctx, is called when the peer is cut off. If the address has too many sockets, or if the request is no handshake, the request
// is answered and conn is nil. Otherwise leave must be called once the connection has ended.
func (s *Server) upgrade(ctx context.Context, cancel context.CancelFunc, w http.ResponseWriter, r *http.Request, header http.Header, idleTimeout time.Duration) (conn *ws.Conn, leave func()) {
	select {
	case <-s.Service.Stopping():
		s.fail(w, r, &rendezvous.Failure{Code: rendezvous.Draining, Detail: "this server is stopping; try again"})
		return nil, nil
	default:
	}
	address := addressOf(r.Context()) //nolint:contextcheck // ctx is the socket's, which outlives the request
	leave, admitted := s.sockets.enter(address, s.Limits.Sockets)
	if !admitted {
		s.fail(w, r, tooManySockets())
		return nil, nil
	}
	conn, err := ws.Upgrade(w, r, header, ws.Options{
		Slow:  func() { s.closedAt(limitSlowReader, address) },
		Hasty: func() { _ = s.throttle(ctx, address) }, // it fails only if the socket has ended
		Log:   s.Log, WriteTimeout: s.Limits.WriteTime, MaxMessage: s.Limits.Body, IdleTimeout: idleTimeout, Cancel: cancel,
	})
	if errors.Is(err, ws.ErrHandshake) {
		s.refuseHandshake(w, r, err)
	}
	if err != nil {
		leave()
		return nil, nil
	}
	return conn, leave
}

// refuseHandshake answers a request that is no handshake. A client that may begin one sends no body, and nothing behind
// it until it is answered.
func (s *Server) refuseHandshake(w http.ResponseWriter, r *http.Request, why error) {
	if early, is := errors.AsType[*ws.EarlyError](why); is {
		defer early.Close()
		info := infoOf(r)
		info.wrote = false // the connection was taken over, but nothing was written to it
		w = &observer{early, info, s.Limits.WriteTime, func() {}}
	}
	w.Header().Set("Sec-WebSocket-Version", "13") // the one that is spoken: RFC 6455, §4.4
	s.fail(w, r, &invalid{rendezvous.InvalidRequest, violations("#/header/Upgrade", "websocket", "must be a WebSocket handshake of version 13 (RFC 6455) over HTTP/1.1, with nothing behind it")})
}

// tooManySockets refuses a stream or a socket.
func tooManySockets() *rendezvous.Failure {
	return &rendezvous.Failure{Code: rendezvous.QuotaExceeded, Limit: limitSockets, Detail: "too many streams and sockets from this address; end one first"}
}

// openTransports are how many clients are held now, by transport. [rendezvous.Stats] counts the polls.
type openTransports struct{ streams, sockets, wormhole atomic.Int64 }

// hold counts a client in, and returns what counts it out again.
func hold(count *atomic.Int64) (release func()) {
	count.Add(1)
	return func() { count.Add(-1) }
}

// sockets counts the sockets and event streams that are open, by address and by the IPv6 network of 48 bits around it.
type sockets struct {
	mu   sync.Mutex
	open map[string]int
	all  sync.WaitGroup
}

// enter counts one in, unless its address has the limit already, or the network around it four times that.
func (s *sockets) enter(address string, limit int) (leave func(), admitted bool) {
	counted := []string{address}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open[address] >= limit {
		return nil, false
	}
	if network := rendezvous.NetworkID(address); network != "" {
		if s.open[network] >= networkShare*limit {
			return nil, false
		}
		counted = append(counted, network)
	}
	if s.open == nil {
		s.open = map[string]int{}
	}
	for _, key := range counted {
		s.open[key]++
	}
	s.all.Add(1)
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, key := range counted {
			if s.open[key]--; s.open[key] == 0 {
				delete(s.open, key)
			}
		}
		s.all.Done()
	}, true
}

// Wait waits until every socket and stream has ended, or ctx ends. [rendezvous.Service.Drain] makes them end.
func (s *Server) Wait(ctx context.Context) {
	closed := make(chan struct{})
	go func() {
		s.sockets.all.Wait()
		close(closed)
	}()
	select {
	case <-closed:
	case <-ctx.Done():
	}
}
