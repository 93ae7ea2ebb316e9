package handlers

import (
	"cmp"
	"context"
	"log/slog"
	"time"

	"restante/rendezvous"
)

// sample reports whether a line about a client that is refused, slowed down or cut off is logged, and for how many it
// stands. The networks of one customer count as one address.
func (s *Server) sample(kind, address string) (standsFor int, logIt bool) {
	return s.logged.Count(kind, cmp.Or(rendezvous.NetworkID(address), address), time.Now())
}

// logRefused logs a command of a wormhole client that was refused.
func (s *Server) logRefused(code rendezvous.Code, address string) {
	s.logSampled("refused a command of a wormhole client", address, "code", string(code))
}

// logRefusedCommand logs a command on the socket of a session that was refused before it was read.
func (s *Server) logRefusedCommand(code rendezvous.Code, address string) {
	s.logSampled("refused a command of a session", address, "code", string(code))
}

// closedAt counts and logs a connection that is closed because its client hit a limit.
func (s *Server) closedAt(limit rendezvous.Limit, address string) {
	s.metrics.limits.hit(limit)
	s.logSampled("closed a connection", address, "limit", string(limit))
}

// logSlowed logs a client that a limit makes wait.
func (s *Server) logSlowed(limit rendezvous.Limit, address string) {
	s.logSampled("slowed a client down", address, "limit", string(limit))
}

func (s *Server) logSampled(message, address, kind, what string) {
	if standsFor, logIt := s.sample(message+" "+what, address); logIt {
		s.Log.Info(message, slog.String("address", address), slog.String(kind, what), slog.Int("standsFor", standsFor))
	}
}

// throttle waits until a client of an address may ask for more: a socket cannot be answered 429, so it is slowed down.
func (s *Server) throttle(ctx context.Context, address string) error {
	if s.limiters.exhausted(address, time.Now()) {
		s.logSlowed(limitRequests, address)
	}
	return s.limiters.wait(ctx, address)
}
