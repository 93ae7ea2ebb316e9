package rendezvous

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"time"

	"restante/session"
)

const (
	// tokenNotice is how long before its token expires a client is asked for a newer one, at most. It is asked
	// no earlier than in the middle of the token's life.
	tokenNotice = 2 * time.Minute
	// askInterval is the time between two looks for tokens that will expire.
	askInterval = 500 * time.Millisecond
	// askBatch is how many clients are asked after one look.
	askBatch = 500
)

// Grant is what a client's token says: until when it may be an app, and which side of it.
type Grant struct {
	App     AppID
	Side    Side // empty: any
	Expires time.Time
}

// TokenRequiredWithoutSession refuses a client that has no session, and so no place for a token, where
// tokens are asked for.
func TokenRequiredWithoutSession() *Failure {
	return refuse(TokenRequired, "this server admits only clients with a token, and only a session has one; begin a session with POST /v1/sessions and 'metadata': {'token': …}")
}

// tokenRefused refuses a token, or that there is none.
func tokenRefused(why string) *Failure {
	return refuse(TokenRequired, "%s; send a token that is valid here as 'token' in 'metadata'", why)
}

// grantOf verifies the token in a client's metadata. It refuses with TOKEN_REQUIRED.
func (s *Service) grantOf(metadata json.RawMessage) (Grant, error) {
	var said struct {
		Token *string `json:"token"`
	}
	if len(metadata) > 0 {
		if err := json.Unmarshal(metadata, &said); err != nil {
			return Grant{}, tokenRefused("the token must be a string")
		}
	}
	if said.Token == nil {
		return Grant{}, tokenRefused("this server admits only clients with a token")
	}
	grant, err := s.VerifyToken(*said.Token, s.now())
	if err != nil {
		return Grant{}, tokenRefused(err.Error())
	}
	return grant, nil
}

// covers refuses with TOKEN_REQUIRED unless the grant is for this app and side; an empty side fits.
func (g Grant) covers(app AppID, side Side) error {
	if g.App != app {
		return tokenRefused("the token is for another app")
	}
	if g.Side != "" && side != "" && g.Side != side {
		return tokenRefused("the token is for another side")
	}
	return nil
}

// token returns what is stored of the grant.
func (g Grant) token(now time.Time) session.Token {
	expires := g.Expires.UTC().Truncate(time.Millisecond)
	notice := min(tokenNotice, expires.Sub(now)/2)
	return session.Token{Expires: expires, AskAt: expires.Add(-notice).Truncate(time.Millisecond)}
}

// authorize checks the token of a handshake, where tokens are asked for. A handshake without a side gets
// that of its token.
func (s *Service) authorize(h *Handshake) error {
	if s.VerifyToken == nil {
		return nil
	}
	grant, err := s.grantOf(h.Metadata)
	if err != nil {
		return err
	}
	if err := grant.covers(h.App, h.Side); err != nil {
		return err
	}
	if h.Side == "" {
		h.Side = grant.Side
	}
	h.token = grant.token(s.now())
	return nil
}

// checkToken refuses what a session asks for whose token has expired, or that has none. The session itself
// may live on: see [session.Record.State].
func (s *Service) checkToken(t session.Token, now time.Time) error {
	switch {
	case s.VerifyToken == nil:
		return nil
	case t.Expires.IsZero():
		return refuse(TokenRequired, "this server admits only clients with a token, and this session has none; send one with PUT /v1/session/metadata or with a handshake")
	case t.Lapsed(now):
		return refuse(TokenRequired, "the token of this session has expired; send a newer one with PUT /v1/session/metadata or with a handshake")
	}
	return nil
}

// UpdateMetadata takes a newer token for a live session, also after its last one expired. It refuses with
// TOKEN_REQUIRED. Where no tokens are asked for, it changes nothing. To repeat it changes nothing either.
func (s *Service) UpdateMetadata(ctx context.Context, q Query, metadata json.RawMessage) (Answer[struct{}], error) {
	var (
		answer  Answer[struct{}]
		actor   *Session
		grant   Grant
		refused error
	)
	if s.VerifyToken != nil {
		grant, refused = s.grantOf(metadata)
	}
	err := s.transact(ctx, func(t *txn) error {
		t.renews = true
		attached, err := t.attachAcking(q.Session, q.Ack, q.Epoch)
		actor, answer.Wanted = t.actor, attached.Wanted
		if err != nil || s.VerifyToken == nil {
			return err
		}
		if refused != nil {
			return refused
		}
		return t.renew(attached, grant)
	})
	if isCanceled(err) {
		return Answer[struct{}]{}, err // the transaction may still run, and write its results
	}
	f, failed := errors.AsType[*Failure](err)
	if !failed || f.Code != TokenRequired && (actor == nil || s.checkToken(actor.Token, s.now()) == nil) {
		s.recordRequest(ctx, q.Session, actor, q.Ack, q.Epoch, err) // else it is no sign of life: see session.Record.State
	}
	if failed && f.Code == OutcomeUnknown {
		err = storageUnavailable() // to send the same token again changes nothing
	}
	return answer, annotate(err, actor, answer.Wanted, false)
}

// renew stores a newer token of the acting session.
func (t *txn) renew(attached session.Attached, g Grant) error {
	if err := g.covers(t.actor.App, t.actor.Side); err != nil {
		return err
	}
	renewed := attached.Renew(g.token(t.Now()))
	if renewed.Token == attached.Token {
		return nil
	}
	renewed.Seen = t.Now()
	stored := *t.actor
	stored.Record = renewed.Record()
	t.wakeSession(stored.Key) // what is remembered of it has changed
	return t.UpdateSession(stored, t.s.sweepAt(t.Now(), stored.Grace))
}

// tokenLoop asks clients for a newer token before theirs expires, until ctx ends.
func (s *Service) tokenLoop(ctx context.Context) {
	if s.VerifyToken == nil {
		return
	}
	tick := time.NewTicker(askInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			s.logErrors("ask for tokens", func() error { return s.askForTokens(ctx) })
		}
	}
}

// askForTokens asks those clients whose tokens will expire soon. One that cannot be asked now is asked after
// the next look.
func (s *Service) askForTokens(ctx context.Context) error {
	var due []session.Key
	err := s.read(ctx, func(t *txn) (err error) {
		due, err = t.SessionsToAsk(t.Now(), askBatch)
		return err
	})
	if err != nil {
		return err
	}
	for _, k := range due {
		if err := s.transact(ctx, func(t *txn) error { return t.askForToken(k) }); err != nil {
			s.Log.LogAttrs(ctx, slog.LevelError, "could not ask for a newer token", slog.String("session", k.String()), slog.Any("error", err))
		}
	}
	return nil
}

// askForToken sends a session the frame that asks for a newer token, once for each token.
func (t *txn) askForToken(k session.Key) error {
	stored, err := t.IdleSession(k)
	if errors.Is(err, ErrNotFound) {
		return nil // it has ended, or is in use, or another replica asks it
	}
	if err != nil {
		return err
	}
	if stored.Ended != nil || stored.Token.AskAt.IsZero() || stored.Token.AskAt.After(t.Now()) {
		return nil
	}
	t.outgoing = append(t.outgoing, outgoing{to: k, frame: RehandshakeFrame{stored.Token.Expires}})
	stored.Token.AskAt = time.Time{}
	return t.UpdateSession(stored, t.s.sweepAt(t.s.lastSeen(stored, t.Now()), stored.Grace))
}
