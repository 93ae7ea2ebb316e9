package handlers

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/gorilla/websocket"

	"restante/internal/rules"
	"restante/rendezvous"
)

// SetRules changes the operator's rules about clients. Nil stands for none.
func (s *Server) SetRules(r *rules.Rules) { s.rules.Store(r) }

// ruleOut is middleware that does what the rules say of the client's address. Probes of the operator's monitoring are not
// concerned. Wormhole clients are greeted with a refusal, because they show nothing of an answer that is no socket.
func (s *Server) ruleOut(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		info := infoOf(r)
		waited := info.poll != nil || info.read != nil // and was ruled on before
		switch path := r.URL.Path; {
		case waited, path == "/livez", path == "/readyz", path == "/metrics", isWormhole(r):
		default:
			if err := s.obey(r.Context(), s.rules.Load().OfAddress(info.client, info.address)); err != nil {
				s.fail(w, r, err)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// isWormhole reports whether a request opens a wormhole client's socket.
func isWormhole(r *http.Request) bool {
	return (r.URL.Path == "/v1" || r.URL.Path == "/v1/") && websocket.IsWebSocketUpgrade(r)
}

// verdictOn returns what the rules say of the client of a request.
func (s *Server) verdictOn(ctx context.Context, app rendezvous.AppID, client [2]string) rules.Verdict {
	version := ""
	if client != ([2]string{}) {
		version = client[0] + "/" + client[1]
	}
	return s.rules.Load().OfClient(rules.Client{Address: clientIP(ctx), AddressID: addressOf(ctx), App: string(app), Version: version})
}

// obey lets a client wait, and refuses it, as the rules say. Of the delays of one request, the longest counts.
func (s *Server) obey(ctx context.Context, v rules.Verdict) error {
	info := infoIn(ctx)
	if more := v.Delay - info.delayed; more > 0 {
		info.delayed = v.Delay
		timer := time.NewTimer(more)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-s.Service.Stopping():
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	switch {
	case v.Refuse == "":
		return nil
	case v.ByVersion:
		return &rendezvous.Failure{Code: rendezvous.RejectedUnsupportedAgent, Detail: v.Refuse}
	}
	return &rendezvous.Failure{Code: rendezvous.RejectedByCustomHandler, Detail: v.Refuse}
}

// admitKeyed refuses a client without a session that may not use the server.
func (s *Server) admitKeyed(ctx context.Context, app rendezvous.AppID) error {
	if s.Service.VerifyToken != nil {
		return rendezvous.TokenRequiredWithoutSession()
	}
	if infoIn(ctx).read != nil {
		return nil // it was admitted before it waited
	}
	v := s.verdictOn(ctx, app, [2]string{})
	v.ByVersion = false // it has none
	if err := s.obey(ctx, v); err != nil {
		return err
	}
	return s.Service.Admits(ctx, rendezvous.ClientInfo{App: app, Address: addressOf(ctx)})
}

// joined returns two messages as one.
func joined(messages ...string) string {
	return strings.TrimSpace(strings.Join(messages, "\n"))
}
