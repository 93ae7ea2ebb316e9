package rendezvous

import (
	"context"
	"errors"
	"slices"
	"sync"
)

// SideRef is a side without a session: a wormhole client. Whoever says it is one
// is believed, as the wormhole protocol has it.
type SideRef struct {
	App  AppID
	Side Side
}

// as runs a use case for a peer, in one transaction. A final refusal keeps what
// was written before it.
func executeAs[R any](ctx context.Context, s *Service, work func(*txn) (R, error)) (R, error) {
	var (
		result  R
		refusal *Failure
	)
	err := s.transact(ctx, func(t *txn) (err error) {
		result, refusal, err = splitRefusal(work(t))
		return err
	})
	if isCanceled(err) {
		var none R
		return none, err // it may be running yet: result is not ours to look at
	}
	if err == nil && refusal != nil {
		err = refusal
	}
	return result, err
}

// AllocateFor is [Service.Allocate] for a peer. A side that has a nameplate which
// waits for a partner is given it again: the reply was lost, and the peer came back.
func (s *Service) AllocateFor(ctx context.Context, p SideRef) (Claimed, error) {
	return executeAs(ctx, s, func(t *txn) (Claimed, error) {
		held, err := t.NameplatesOf(p.App, p.Side)
		if err != nil {
			return Claimed{}, err
		}
		for _, n := range held {
			if n.Waiting() {
				return t.claim(p.App, p.Side, n.ID, 0)
			}
		}
		return t.allocate(p.App, p.Side, 0)
	})
}

// ClaimFor is [Service.Claim] for a peer.
func (s *Service) ClaimFor(ctx context.Context, p SideRef, id NameplateID) (Claimed, error) {
	return executeAs(ctx, s, func(t *txn) (Claimed, error) { return t.claim(p.App, p.Side, id, 0) })
}

// ReleaseFor is [Service.Release] for a peer.
func (s *Service) ReleaseFor(ctx context.Context, p SideRef, id NameplateID) error {
	_, err := executeAs(ctx, s, func(t *txn) (struct{}, error) { return struct{}{}, t.release(p.App, p.Side, id) })
	return err
}

// ListFor is [Service.List] for a peer.
func (s *Service) ListFor(ctx context.Context, p SideRef) (waiting []NameplateID, err error) {
	err = s.read(ctx, func(t *txn) (err error) {
		waiting, err = t.list(p.App)
		return err
	})
	return waiting, err
}

// OpenFor enters and opens a mailbox for a peer, and answers which one it is now,
// to be followed with [Service.Follow].
func (s *Service) OpenFor(ctx context.Context, p SideRef, id MailboxID) (MailboxKey, error) {
	m, err := executeAs(ctx, s, func(t *txn) (Mailbox, error) { return t.open(p.App, p.Side, id, 0, 0) })
	return m.Key, err
}

// AddFor is [Service.Add] for a peer, of several messages in one transaction. Those that there
// is no room for are not added, which it tells of each by a refusal.
func (s *Service) AddFor(ctx context.Context, p SideRef, id MailboxID, drafts []Draft) (refused []error, err error) {
	positions, err := executeAs(ctx, s, func(t *txn) ([]Position, error) { return t.add(p.App, p.Side, id, drafts...) })
	if err != nil {
		return nil, err
	}
	refused = make([]error, len(drafts))
	for i, position := range positions {
		if position == 0 {
			refused[i] = s.mailboxFull()
		}
	}
	return refused, nil
}

// CloseFor is [Service.Close] for a peer.
func (s *Service) CloseFor(ctx context.Context, p SideRef, id MailboxID, mood Mood) error {
	_, err := executeAs(ctx, s, func(t *txn) (struct{}, error) { return struct{}{}, t.close(p.App, p.Side, id, mood) })
	return err
}

// Tail is the messages of a mailbox after a position, whoever added them, as many
// as go into one answer. It ends with [ErrRetired]. While the mailbox is held, what was added
// here last is known without asking the storage.
func (s *Service) Tail(ctx context.Context, k MailboxKey, after Position) (messages []Message, err error) {
	if messages, known := s.logs.After(k, after); known {
		return messages, nil
	}
	version := s.logs.Version(k)
	last := Position(-1)
	retired := false
	err = s.read(ctx, func(t *txn) error {
		m, err := t.MailboxByKey(k)
		if errors.Is(err, ErrNotFound) {
			retired = true
			return nil
		}
		if last = m.Last; err != nil || last <= after {
			return err
		}
		messages, err = t.Messages(k, after, s.Config.Limits.AnswerFrames, s.Config.Limits.AnswerBytes)
		return err
	})
	switch {
	case err != nil:
		return nil, err
	case retired:
		return nil, ErrRetired
	}
	s.logs.Fill(k, version, last, struct{}{})
	return messages, nil
}

// Stopping is closed when the server begins to stop.
func (s *Service) Stopping() <-chan struct{} { return s.hub.Done() }

// holds counts the sockets that have a mailbox open: each is a standing sign of life of its holder.
type holds struct {
	mu   sync.Mutex
	open map[MailboxKey]int
}

// KeepAlive keeps a mailbox alive until it is let go of.
func (s *Service) KeepAlive(k MailboxKey) (letGo func()) {
	h := &s.holds
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.open == nil {
		h.open = map[MailboxKey]int{}
	}
	h.open[k]++
	forget := s.logs.Retain(k)
	return sync.OnceFunc(func() {
		forget()
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.open[k]--; h.open[k] == 0 {
			delete(h.open, k)
		}
	})
}

func (h *holds) has(k MailboxKey) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.open[k] > 0
}

// keys are the mailboxes that are held.
func (h *holds) keys() []MailboxKey {
	h.mu.Lock()
	defer h.mu.Unlock()
	keys := make([]MailboxKey, 0, len(h.open))
	for k := range h.open {
		keys = append(keys, k)
	}
	slices.Sort(keys) // every transaction touches them in the same order
	return keys
}

// recordHolds writes down that the sockets of this process hold their mailboxes.
func (s *Service) recordHolds(ctx context.Context) error {
	keys := s.holds.keys()
	for len(keys) > 0 {
		batch := keys[:min(recordBatch, len(keys))]
		keys = keys[len(batch):]
		err := s.Store.Update(ctx, func(tx Tx) error { return tx.SocketsSeen(batch, tx.Now()) })
		if err != nil {
			return s.clientError(err)
		}
	}
	return nil
}
