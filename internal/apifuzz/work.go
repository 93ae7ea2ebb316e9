package apifuzz

import (
	"context"
	"sync/atomic"
	"time"

	"restante/rendezvous"
	"restante/session"
)

// work is what a request costs the storage.
type work struct {
	transactions, read, written atomic.Int64
}

type workKey struct{}

// counted counts what is done in the storage for the request that a context belongs to.
type counted struct{ rendezvous.Store }

func (c counted) View(ctx context.Context, f func(rendezvous.Tx) error) error {
	return c.Store.View(ctx, counting(ctx, f))
}

func (c counted) Update(ctx context.Context, f func(rendezvous.Tx) error) error {
	return c.Store.Update(ctx, counting(ctx, f))
}

func counting(ctx context.Context, f func(rendezvous.Tx) error) func(rendezvous.Tx) error {
	w, is := ctx.Value(workKey{}).(*work)
	if !is {
		return f
	}
	w.transactions.Add(1)
	return func(tx rendezvous.Tx) error { return f(countedTx{tx, w}) }
}

// countedTx counts the rows that are read and written by what takes or gives many.
type countedTx struct {
	rendezvous.Tx
	w *work
}

// listed counts the rows of a list.
func listed[T any](w *work, list []T, err error) ([]T, error) {
	w.read.Add(int64(max(len(list), 1)))
	return list, err
}

// one counts one row that is read.
func one[T any](w *work, row T, err error) (T, error) {
	w.read.Add(1)
	return row, err
}

func (t countedTx) Session(k session.Key) (rendezvous.Session, error) {
	s, err := t.Tx.Session(k)
	return one(t.w, s, err)
}

func (t countedTx) HandshakeSessions(keys []session.Key) ([]rendezvous.Session, error) {
	list, err := t.Tx.HandshakeSessions(keys)
	return listed(t.w, list, err)
}

func (t countedTx) Subscribers(k rendezvous.MailboxKey) ([]rendezvous.Subscriber, error) {
	list, err := t.Tx.Subscribers(k)
	return listed(t.w, list, err)
}

func (t countedTx) Frames(k session.Key, from session.Seq, count int, size int64) ([][]byte, error) {
	list, err := t.Tx.Frames(k, from, count, size)
	return listed(t.w, list, err)
}

func (t countedTx) Mailbox(a rendezvous.AppID, id rendezvous.MailboxID) (rendezvous.Mailbox, error) {
	m, err := t.Tx.Mailbox(a, id)
	return one(t.w, m, err)
}

func (t countedTx) MailboxByKey(k rendezvous.MailboxKey) (rendezvous.Mailbox, error) {
	m, err := t.Tx.MailboxByKey(k)
	return one(t.w, m, err)
}

func (t countedTx) MailboxesOf(a rendezvous.AppID, s rendezvous.Side) ([]rendezvous.Mailbox, error) {
	list, err := t.Tx.MailboxesOf(a, s)
	return listed(t.w, list, err)
}

func (t countedTx) Messages(k rendezvous.MailboxKey, after rendezvous.Position, count int, size int64) ([]rendezvous.Message, error) {
	list, err := t.Tx.Messages(k, after, count, size)
	return listed(t.w, list, err)
}

func (t countedTx) MessagesOfOthers(k rendezvous.MailboxKey, than rendezvous.Side, after, upTo rendezvous.Position, count int, size int64) ([]rendezvous.Message, rendezvous.Position, error) {
	list, seen, err := t.Tx.MessagesOfOthers(k, than, after, upTo, count, size)
	list, err = listed(t.w, list, err)
	return list, seen, err
}

func (t countedTx) NameplatesOf(a rendezvous.AppID, s rendezvous.Side) ([]rendezvous.Nameplate, error) {
	list, err := t.Tx.NameplatesOf(a, s)
	return listed(t.w, list, err)
}

func (t countedTx) NameplatesTo(k rendezvous.MailboxKey) ([]rendezvous.Nameplate, error) {
	list, err := t.Tx.NameplatesTo(k)
	return listed(t.w, list, err)
}

func (t countedTx) WaitingNameplates(a rendezvous.AppID, limit int) ([]rendezvous.NameplateID, error) {
	list, err := t.Tx.WaitingNameplates(a, limit)
	return listed(t.w, list, err)
}

func (t countedTx) LiveSessions(f rendezvous.SessionFilter) ([]rendezvous.Session, error) {
	list, err := t.Tx.LiveSessions(f)
	return listed(t.w, list, err)
}

func (t countedTx) UsageSince(since time.Time) ([]rendezvous.UsageGroup, error) {
	list, err := t.Tx.UsageSince(since)
	return listed(t.w, list, err)
}

func (t countedTx) CreateSession(s rendezvous.Session, sweepAt time.Time) error {
	t.w.written.Add(1)
	return t.Tx.CreateSession(s, sweepAt)
}

func (t countedTx) UpdateSession(s rendezvous.Session, sweepAt time.Time) error {
	t.w.written.Add(1)
	return t.Tx.UpdateSession(s, sweepAt)
}

func (t countedTx) DeleteSession(k session.Key) error {
	t.w.written.Add(1)
	return t.Tx.DeleteSession(k)
}

func (t countedTx) Complete(k session.Key, n session.Seq, r rendezvous.Reply) error {
	t.w.written.Add(1)
	return t.Tx.Complete(k, n, r)
}

func (t countedTx) SendFrame(k session.Key, encode func(session.Seq) []byte) (rendezvous.Backlog, error) {
	t.w.written.Add(1)
	return t.Tx.SendFrame(k, encode)
}

func (t countedTx) SendMessages(k session.Key, m rendezvous.MailboxKey, first rendezvous.Position, count int64) (session.Seq, error) {
	t.w.written.Add(1)
	return t.Tx.SendMessages(k, m, first, count)
}

func (t countedTx) CreateMailbox(m rendezvous.Mailbox) (rendezvous.Mailbox, error) {
	t.w.written.Add(1)
	return t.Tx.CreateMailbox(m)
}

func (t countedTx) UpdateMailbox(m rendezvous.Mailbox) error {
	t.w.written.Add(1)
	return t.Tx.UpdateMailbox(m)
}

func (t countedTx) RetireMailbox(m rendezvous.Mailbox, u rendezvous.Usage) error {
	t.w.written.Add(1)
	return t.Tx.RetireMailbox(m, u)
}

func (t countedTx) Append(m rendezvous.Mailbox, messages ...rendezvous.Message) error {
	t.w.written.Add(int64(len(messages)))
	return t.Tx.Append(m, messages...)
}

func (t countedTx) CreateNameplate(n rendezvous.Nameplate) error {
	t.w.written.Add(1)
	return t.Tx.CreateNameplate(n)
}

func (t countedTx) UpdateNameplate(n rendezvous.Nameplate) error {
	t.w.written.Add(1)
	return t.Tx.UpdateNameplate(n)
}

func (t countedTx) RetireNameplate(n rendezvous.Nameplate, u rendezvous.Usage) error {
	t.w.written.Add(1)
	return t.Tx.RetireNameplate(n, u)
}
