package simulation

import (
	"context"
	"slices"

	"restante/rendezvous"
	"restante/session"
)

// A Bug is a mistake that is planted between the service and its store, to see whether it is found.
type Bug string

// The bugs.
const (
	ReplyNotRecorded Bug = "the reply to a command is that of another one"
	WakeDropped      Bug = "readers are not woken after a commit"
	ThirdSide        Bug = "a third side is admitted"
	ForgetsUnacked   Bug = "a frame more is forgotten than was acknowledged"
	UsageLost        Bug = "the usage record of a mailbox is lost"
)

// Bugs are all of them.
var Bugs = []Bug{ReplyNotRecorded, WakeDropped, ThirdSide, ForgetsUnacked, UsageLost}

// planted returns the store, with the planted bug between it and the service.
func (h *history) planted() rendezvous.Store {
	if h.Bug == "" {
		return h.store
	}
	return spoiled{h.store, h.Bug}
}

type spoiled struct {
	rendezvous.Store
	bug Bug
}

func (s spoiled) Update(ctx context.Context, f func(rendezvous.Tx) error) error {
	return s.Store.Update(ctx, func(tx rendezvous.Tx) error { return f(spoiledTx{tx, s.bug}) })
}

type spoiledTx struct {
	rendezvous.Tx
	bug Bug
}

func (t spoiledTx) Complete(k session.Key, n session.Seq, r rendezvous.Reply) error {
	if t.bug == ReplyNotRecorded {
		r.Outcome = []byte(`{"result":{}}`)
	}
	return t.Tx.Complete(k, n, r)
}

func (t spoiledTx) AfterCommit(f func()) {
	if t.bug != WakeDropped {
		t.Tx.AfterCommit(f)
	}
}

func (t spoiledTx) Mailbox(a rendezvous.AppID, id rendezvous.MailboxID) (rendezvous.Mailbox, error) {
	m, err := t.Tx.Mailbox(a, id)
	if t.bug == ThirdSide && len(m.Sides) > 1 {
		m.Sides = m.Sides[:1]
	}
	return m, err
}

func (t spoiledTx) Acknowledge(acks ...session.Ack) error {
	acks = slices.Clone(acks)
	for i := range acks {
		if t.bug == ForgetsUnacked {
			acks[i].UpTo++
		}
	}
	return t.Tx.Acknowledge(acks...)
}

func (t spoiledTx) RetireMailbox(m rendezvous.Mailbox, u rendezvous.Usage) error {
	if t.bug == UsageLost {
		u.Result = ""
	}
	return t.Tx.RetireMailbox(m, u)
}
