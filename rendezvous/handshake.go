package rendezvous

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"restante/session"
)

// Handshake is what a client asks for when it begins or resumes a session.
type Handshake struct {
	ID           session.ID // the zero ID asks for a new one
	App          AppID
	Side         Side // empty: the stored one, or a new one
	NextExpected session.Seq
	NextSent     session.Seq
	Epoch        session.Epoch // of the last handshake the client knows was accepted; 0 if none
	Replaces     *session.ID
	Client       [2]string
	Metadata     json.RawMessage
	Grace        time.Duration // a longer grace than the default; 0 asks for nothing
	Address      string
	// RefuseNew refuses the handshake if it would begin a session, and not if it resumes one; nil refuses none.
	RefuseNew error

	token session.Token // that of the metadata, once it is verified
}

// HandshakeReply is the answer to an accepted handshake.
type HandshakeReply struct {
	ID       session.ID
	App      AppID
	Side     Side
	Resumed  bool
	Epoch    session.Epoch
	Wanted   session.Seq // the next command wanted
	Kept     session.Seq // the first frame that will be sent (again)
	Grace    time.Duration
	NextWait time.Duration
	Now      time.Time
	// TokenExpires is when the token of the session expires; zero if it has none.
	TokenExpires time.Time
}

// Handshake begins or resumes a session as [session.Decide] decides, in one transaction. It ends the
// receivers of older epochs, on any replica.
//
// It refuses with the codes of the handshake table, with what [Service.Admit] returns, and with TOKEN_REQUIRED,
// QUOTA_EXCEEDED, OVERLOADED or DRAINING.
func (s *Service) Handshake(ctx context.Context, h Handshake) (HandshakeReply, error) {
	w, err := s.handshake(ctx, h)
	switch {
	case err != nil:
		s.stats.Rejected.Add(1)
	case w.Resumed:
		s.stats.Resumed.Add(1)
	default:
		s.stats.Begun.Add(1)
	}
	return w, err
}

func (s *Service) handshake(ctx context.Context, h Handshake) (HandshakeReply, error) {
	if s.draining.Load() {
		return HandshakeReply{}, serverStopping()
	}
	if err := s.Admits(ctx, ClientInfo{h.App, h.Client, h.Metadata, h.Address}); err != nil {
		return HandshakeReply{}, err
	}
	if ReservedSide(h.Side) {
		return HandshakeReply{}, refuse(MalformedHandshake, "no session has a side that begins with %q: those belong to clients with a secret", keyedPrefix)
	}
	if err := s.authorize(&h); err != nil {
		return HandshakeReply{}, err
	}
	if h.Grace > s.Config.MaxTTL {
		return HandshakeReply{}, refuseArgument(ArgumentGrace, MalformedHandshake, "graceMs is at most %d here", s.Config.MaxTTL.Milliseconds())
	}
	if h.ID == (session.ID{}) {
		h.ID = session.NewID()
	}
	minted := newSide()
	var w HandshakeReply
	var among place
	err := s.transact(ctx, func(t *txn) (err error) {
		t.place = &among
		w, err = t.handshake(h, minted)
		return err
	})
	s.countCache.leave(&among)
	var failure *Failure
	if errors.As(err, &failure) && failure.Code == OutcomeUnknown {
		return HandshakeReply{}, &Failure{Code: StorageUnavailable, Detail: "the storage failed while committing; send the same handshake again", Err: err}
	}
	if err != nil {
		return HandshakeReply{}, err
	}
	s.presence.Handshake(h.ID.Key(), w.Epoch, w.Kept, s.now(), w.Grace)
	switch {
	case w.Resumed:
	case h.Client == [2]string{}:
		s.observing().Client(w.App, h.Client) // it did not say, so there is nothing to record
	default:
		s.RecordClient(w.App, h.Client)
	}
	return w, nil
}

// Admits returns why a client is refused, or nil: what [Service.Admit] returns, as a [Failure].
func (s *Service) Admits(ctx context.Context, c ClientInfo) error {
	if s.Admit == nil {
		return nil
	}
	err := s.Admit(ctx, c)
	var failure *Failure
	if err == nil || errors.As(err, &failure) {
		return err
	}
	return &Failure{Code: RejectedByCustomHandler, Detail: "this server does not admit the client", Err: err}
}

// handshake gathers the facts, asks for the decision and carries it out. Everything that it decides
// on is read after it was locked: two handshakes for one session, or for one side, come one after
// the other.
func (t *txn) handshake(h Handshake, minted Side) (HandshakeReply, error) {
	key := h.ID.Key()
	hello := session.Hello{Key: key, App: string(h.App), Side: string(h.Side), NextExpected: h.NextExpected, NextSent: h.NextSent, Epoch: h.Epoch}
	keys := []session.Key{key}
	if h.Replaces != nil {
		replaces := h.Replaces.Key()
		hello.Replaces = &replaces
		keys = append(keys, replaces)
		if err := t.inheritSide(&h, replaces); err != nil {
			return HandshakeReply{}, err
		}
	}
	if err := t.LockHandshake(keys, h.App, h.Side); err != nil {
		return HandshakeReply{}, err
	}
	owner, err := t.owner(h.App, h.Side)
	if err != nil {
		return HandshakeReply{}, err
	}
	facts := session.Facts{Stored: session.Nothing{}, Replaced: session.Nothing{}, Owner: owner}
	if owner != nil && !slices.Contains(keys, *owner) {
		keys = append(keys, *owner)
	}
	sessions, err := t.HandshakeSessions(keys)
	if err != nil {
		return HandshakeReply{}, err
	}
	if owner != nil { // it may have been deleted before it was locked
		if facts.Owner, err = t.owner(h.App, h.Side); err != nil {
			return HandshakeReply{}, err
		}
	}
	var stored, old Session
	var state session.State // of stored: what is decided on, and then carried out
	for _, s := range sessions {
		is := t.s.state(s, t.Now())
		switch {
		case s.Key == key:
			stored, state, facts.Stored = s, is, t.storedSession(s, is)
		case hello.Replaces != nil && s.Key == *hello.Replaces:
			old, facts.Replaced = s, t.storedSession(s, is)
		}
	}
	fresh := Session{Key: key, App: h.App, Side: h.Side, Address: h.Address, Began: t.Now()}
	if fresh.Side == "" {
		fresh.Side = minted
	}
	fresh.Record = session.Open(t.Now(), max(h.Grace, t.s.Config.SessionGrace)).Renew(h.token).Record()

	switch d := session.Decide(hello, facts).(type) {
	case session.Resume:
		return t.resume(h, stored, state, d.From)
	case session.Replace:
		if h.RefuseNew != nil {
			return HandshakeReply{}, h.RefuseNew
		}
		fresh.Used = true // it takes a side over, so its end leaves a tombstone
		if err := t.writeTombstone(old, t.closed(old, session.Replaced)); err != nil {
			return HandshakeReply{}, err
		}
		if old.Side != fresh.Side { // else the new session holds what the old one held
			t.keepMailboxesLater(old)
		}
		t.wakeSession(old.Key)
		return t.start(h, fresh)
	case session.Start:
		if h.RefuseNew != nil {
			return HandshakeReply{}, h.RefuseNew
		}
		fresh.Used = d.TakesOver
		return t.start(h, fresh)
	case session.Reject:
		t.s.presence.Refuse(key, stored.Epoch)
		return HandshakeReply{}, &Failure{Code: Code(d.Code), Detail: d.Detail, Ended: d.Ended}
	}
	panic("unreachable: Decision is sealed")
}

// inheritSide gives a handshake without a side that of the session which it replaces, live or ended.
func (t *txn) inheritSide(h *Handshake, replaces session.Key) error {
	if h.Side != "" {
		return nil
	}
	app, side, err := t.SideOf(replaces)
	if err == nil && app == h.App {
		h.Side = side
	}
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

// storedSession returns a stored session, which is in that state, as the handshake's decision sees it. What its client
// has acknowledged to this process counts, though it may not be written yet.
func (t *txn) storedSession(stored Session, state session.State) session.Stored {
	app, side := string(stored.App), string(stored.Side)
	live := func(l session.Ledger) session.Live {
		l.Kept = t.s.presence.Decide(stored.Key, stored.Epoch, l.Kept)
		return session.Live{App: app, Side: side, Ledger: l, Epoch: stored.Epoch}
	}
	switch state := state.(type) {
	case session.Attached:
		return live(state.Ledger)
	case session.Detached:
		return live(state.Ledger)
	case session.Closed:
		if state.Used {
			return session.Tombstone{App: app, Side: side, Closed: state}
		}
		return session.Nothing{}
	}
	panic("unreachable: State is sealed")
}

// owner returns the session that had the side last, or nil if none is remembered.
func (t *txn) owner(app AppID, side Side) (*session.Key, error) {
	if side == "" {
		return nil, nil
	}
	last, err := t.SideOwner(app, side)
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if closed, ok := t.s.state(last, t.Now()).(session.Closed); ok && !closed.Used {
		return nil, nil
	}
	return &last.Key, nil
}

// closed returns a session as ended now, or as it ended before.
func (t *txn) closed(of Session, why session.Reason) session.Closed {
	switch state := t.s.state(of, t.Now()).(type) {
	case session.Attached:
		return state.Close(t.Now(), why)
	case session.Detached:
		return state.Close(t.Now(), why)
	case session.Closed:
		return state
	}
	panic("unreachable: State is sealed")
}

// resume begins a new epoch of a live session, which is in that state. The session may be without a valid token: the
// handshake brings a new one.
func (t *txn) resume(h Handshake, stored Session, state session.State, from session.Seq) (HandshakeReply, error) {
	attached, wasDetached, err := comeBack(state, t.Now())
	if err != nil {
		return HandshakeReply{}, err
	}
	t.act(stored, attached, wasDetached)
	if attached, err = attached.Reconnect(t.Now(), from); err != nil {
		return HandshakeReply{}, err
	}
	attached.Grace = max(attached.Grace, h.Grace)
	stored.Record = attached.Renew(h.token).Record()
	if err := t.UpdateSession(stored, t.s.sweepAt(stored.Seen, stored.Grace)); err != nil {
		return HandshakeReply{}, err
	}
	if err := t.Acknowledge(session.Ack{Session: stored.Key, Epoch: stored.Epoch - 1, UpTo: from}); err != nil {
		return HandshakeReply{}, err
	}
	if err := t.BeginEpoch(stored.Key, stored.Epoch); err != nil {
		return HandshakeReply{}, err
	}
	t.wakeSession(stored.Key)
	return t.reply(h, stored, true), nil
}

// start stores a new session. An expired session that was not pruned yet makes way for it: one with
// the same key that did nothing, and one with the same side.
func (t *txn) start(h Handshake, fresh Session) (HandshakeReply, error) {
	for _, find := range []func() (Session, error){
		func() (Session, error) { return t.Session(fresh.Key) },
		func() (Session, error) { return t.LiveSession(fresh.App, fresh.Side) },
	} {
		expired, err := find()
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err != nil {
			return HandshakeReply{}, err
		}
		if err := t.writeTombstone(expired, t.closed(expired, session.Expired)); err != nil {
			return HandshakeReply{}, err
		}
		t.wakeSession(expired.Key)
	}
	limits := t.s.Config.Limits
	live := func(address string, atMost int) (int, error) { return t.CountSessions(address, false, atMost) }
	full, err := overAddressLimit(fresh.Address, limits.AddressSessions, t.s.sessionQuota.seldom(t.s.local(), live))
	if err != nil {
		return HandshakeReply{}, err
	}
	if full {
		return HandshakeReply{}, refuseFor(LimitAddressSessions, QuotaExceeded, "an address may have %d sessions; end one first", limits.AddressSessions)
	}
	if !t.makesWay && !t.s.countCache.take(t.place, limits.Sessions) {
		return HandshakeReply{}, refuseFor(LimitSessions, Overloaded, "this server holds as many sessions as it may; try again later")
	}
	t.s.presence.Begin(fresh.Key)
	if err := t.CreateSession(fresh, t.s.sweepAt(fresh.Seen, fresh.Grace)); err != nil {
		return HandshakeReply{}, err
	}
	t.AfterCommit(func() { t.s.countCache.store(t.place) })
	return t.reply(h, fresh, false), nil
}

func (t *txn) reply(h Handshake, stored Session, resumed bool) HandshakeReply {
	return HandshakeReply{
		ID: h.ID, App: stored.App, Side: stored.Side, Resumed: resumed, Epoch: stored.Epoch,
		Wanted: stored.Wanted, Kept: stored.Kept, Grace: stored.Grace,
		NextWait: t.s.timing().Hold(stored.Key, stored.Epoch), Now: t.Now(), TokenExpires: stored.Token.Expires,
	}
}
