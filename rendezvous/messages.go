package rendezvous

import (
	"context"
	"errors"
	"time"
)

// Draft is a message before it has a position.
type Draft struct {
	Phase string
	Body  string
	ID    *string // echoed, never used to deduplicate
}

// Message is a message in its mailbox.
type Message struct {
	Position Position
	Side     Side
	Draft
	Received time.Time
}

// Added is where and when a message was added.
type Added struct {
	Position Position  `json:"position"`
	Received time.Time `json:"received"`
}

// AllAdded is where and when several messages were added: their positions have no gaps.
type AllAdded struct {
	First    Position  `json:"first"`
	Count    int       `json:"count"`
	Received time.Time `json:"received"`
}

// Page is a part of a mailbox's log.
type Page struct {
	Messages []Message
	Last     Position // the position of the newest message there is
	Next     Position // reading goes on after it
}

// MailboxOpening asks for a mailbox to be opened before something is done in it.
type MailboxOpening struct {
	TTL time.Duration // the longer life asked for, or 0
}

// Add appends a message to a mailbox that the side has opened, and sends it to every session
// subscribed to that mailbox except this one. It refuses with NOT_OPEN or QUOTA_EXCEEDED.
func (s *Service) Add(ctx context.Context, c Command, id MailboxID, d Draft) (Answer[Added], error) {
	return s.OpenAndAdd(ctx, c, id, d, nil)
}

// OpenAndAdd is [Service.Add]. If opening is not nil, the mailbox is opened first, in the same
// transaction: then it also refuses as [Service.Open] does, and a session is subscribed to what comes
// after the message.
func (s *Service) OpenAndAdd(ctx context.Context, c Command, id MailboxID, d Draft, opening *MailboxOpening) (Answer[Added], error) {
	return execute(ctx, s, c, func(t *txn) (Added, error) {
		added, err := t.addAll(id, opening, d)
		return Added{added.First, added.Received}, err
	})
}

// AddAll is [Service.OpenAndAdd] of several messages, at least one, one after the other: all of them or none.
func (s *Service) AddAll(ctx context.Context, c Command, id MailboxID, drafts []Draft, opening *MailboxOpening) (Answer[AllAdded], error) {
	return execute(ctx, s, c, func(t *txn) (AllAdded, error) { return t.addAll(id, opening, drafts...) })
}

// addAll opens the mailbox for the acting side, if that is asked for, and adds all of the messages.
func (t *txn) addAll(id MailboxID, opening *MailboxOpening, drafts ...Draft) (AllAdded, error) {
	if opening != nil {
		m, err := t.open(t.actor.App, t.actor.Side, id, 0, opening.TTL)
		if err == nil {
			err = t.subscribe(m, m.Last, Watch{})
		}
		if err != nil {
			return AllAdded{}, err
		}
	}
	places, err := t.add(t.actor.App, t.actor.Side, id, drafts...)
	if err != nil {
		return AllAdded{}, err
	}
	for _, placed := range places {
		if placed.refused != nil {
			return AllAdded{}, placed.refused
		}
	}
	return AllAdded{places[0].at, len(places), t.Now()}, nil
}

// AddFor is [Service.Add] for a side without a session, of several messages in one transaction.
// refused has an entry for each draft: nil, or a refusal with QUOTA_EXCEEDED or OVERLOADED if there was no
// room for it.
func (s *Service) AddFor(ctx context.Context, ref SideRef, id MailboxID, drafts []Draft) (refused []error, err error) {
	places, err := executeAs(ctx, s, ref, func(t *txn) ([]placement, error) { return t.add(ref.App, ref.Side, id, drafts...) })
	if err != nil {
		return nil, err
	}
	refused = make([]error, len(drafts))
	for i, placed := range places {
		if placed.refused != nil {
			refused[i] = s.observeLimit(placed.refused)
		}
	}
	return refused, nil
}

// Read returns a mailbox's messages, of all sides: of the request, it takes Mailbox, After, Limit and Bytes. It refuses
// with NOT_FOUND unless the side is in the mailbox.
func (s *Service) Read(ctx context.Context, q Query, r ReadRequest) (Answer[Page], error) {
	r.Own = true
	return query(ctx, s, q, func(t *txn) (Page, error) {
		m, err := t.enteredMailbox(r.Mailbox)
		if err != nil {
			return Page{}, err
		}
		return t.pageOf(m, t.actor.Side, r)
	})
}

// Tail returns a mailbox's messages after a position, of all sides: as many as a socket is given at a time
// ([Limits.StreamBytes]), and at least one. It returns [ErrRetired] if the mailbox is gone. While the mailbox is kept
// alive ([Service.KeepAlive]), this process knows the newest messages without asking the storage.
func (s *Service) Tail(ctx context.Context, k MailboxKey, after Position) (messages []Message, err error) {
	if messages, known := s.logs.After(k, after); known {
		return s.firstOf(messages), nil
	}
	version := s.logs.Version(k)
	last := Position(-1)
	retired, crowded := false, false
	err = s.read(ctx, func(t *txn) error {
		m, err := t.MailboxByKey(k)
		if errors.Is(err, ErrNotFound) {
			retired = true
			return nil
		}
		crowded = m.Crowded
		if last = m.Last; err != nil || last <= after {
			return err
		}
		messages, err = t.Messages(k, after, s.Config.Limits.AnswerFrames, s.Config.Limits.StreamBytes)
		return err
	})
	switch {
	case err != nil:
		return nil, err
	case retired:
		return nil, ErrRetired
	}
	s.logs.Fill(k, version, last, logMeta{crowded})
	return messages, nil
}

// firstOf returns the first of some messages, as many as fit in StreamBytes, and at least one.
func (s *Service) firstOf(messages []Message) []Message {
	size := s.Config.Limits.StreamBytes
	for i, m := range messages {
		if size -= int64(len(m.Body)); size < 0 && i > 0 {
			return messages[:i]
		}
	}
	return messages
}

// placement is what became of a draft: its position, or why there is no room for it.
type placement struct {
	at      Position
	refused *Failure
}

// add appends messages to a mailbox in their order. It returns the place of each.
func (t *txn) add(app AppID, side Side, id MailboxID, drafts ...Draft) ([]placement, error) {
	m, err := t.Mailbox(app, id)
	if errors.Is(err, ErrNotFound) || err == nil && !m.HasOpen(side) {
		return nil, refuse(NotOpen, "this side has not opened that mailbox; open it with PUT first")
	}
	if err != nil {
		return nil, err
	}
	before, places := m, make([]placement, len(drafts))
	var added []Message
	for i, d := range drafts {
		next := m.Appended(d.Body, t.Now())
		next.Stored += d.size(side)
		if err := t.hasRoom(before, next); err != nil {
			failure, is := errors.AsType[*Failure](err)
			if !is {
				return nil, err
			}
			places[i].refused = failure
			continue
		}
		m, places[i].at = next, next.Last
		added = append(added, Message{Position: m.Last, Side: side, Draft: d, Received: t.Now()})
	}
	if len(added) == 0 {
		return places, nil
	}
	if err := t.Append(m, added...); err != nil {
		return nil, err
	}
	if err := t.chargeMailbox(before, m); err != nil {
		return nil, err
	}
	if err := t.queueDispatch(m, added[0].Position, ""); err != nil {
		return nil, err
	}
	t.AfterCommit(func() {
		t.s.logs.Append(m.Key, added...)
		t.s.observing().Added(t.caller, app, id, added)
	})
	return places, t.publishMessages(m, added)
}

// Appended returns the mailbox after one more message. StaleAt, by which mailboxes are sorted, stays
// as it is while it is far enough away. Pruning that looks too early then finds the mailbox alive.
func (m Mailbox) Appended(body string, now time.Time) Mailbox {
	m.Last++
	m.Bytes += int64(len(body))
	if m.StaleAt.Before(now.Add(m.TTL / 2)) {
		return m.touch(now)
	}
	m.Updated = now
	return m
}

// hasRoom refuses a message if its mailbox would be too large with it, or if its address may not store more.
func (t *txn) hasRoom(before, after Mailbox) error {
	if int64(after.Last) > t.s.Config.Limits.MailboxMessages || after.Bytes > t.s.Config.Limits.MailboxBytes {
		return t.s.mailboxFull()
	}
	if more := after.Charged() - before.Charged(); more > 0 {
		return t.mayStore(more)
	}
	return nil
}

func (s *Service) mailboxFull() *Failure {
	limits := s.Config.Limits
	return refuseFor(LimitMessages, QuotaExceeded, "a mailbox holds %d messages of %d bytes together; close this one and use another", limits.MailboxMessages, limits.MailboxBytes)
}
