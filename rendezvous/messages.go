package rendezvous

import (
	"context"
	"errors"
	"time"
)

// Added is where a message went, and when.
type Added struct {
	Position Position  `json:"position"`
	Received time.Time `json:"received"`
}

// Page is a part of a mailbox's log.
type Page struct {
	Messages []Message
	Last     Position // the position of the newest message there is
}

// Add appends a message to a mailbox that the side has opened, and sends it to
// every session subscribed to it but this one. It refuses with NOT_OPEN or QUOTA_EXCEEDED.
func (s *Service) Add(ctx context.Context, c Command, id MailboxID, d Draft) (Answer[Added], error) {
	return do(ctx, s, c, func(t *turn) (Added, error) {
		message, err := t.add(t.me.App, t.me.Side, id, d)
		return Added{message.Position, message.Received}, err
	})
}

// Read is the log after a position, at most limit messages. It refuses with
// NOT_FOUND unless the side is in the mailbox.
func (s *Service) Read(ctx context.Context, q Query, id MailboxID, after Position, limit int) (Answer[Page], error) {
	return look(ctx, s, q, func(t *turn) (Page, error) {
		m, err := t.inside(id)
		if err != nil {
			return Page{}, err
		}
		messages, err := t.Messages(m.Key, after, min(limit, s.Config.Limits.AnswerFrames), s.Config.Limits.AnswerBytes)
		return Page{messages, m.Last}, err
	})
}

func (t *turn) add(app AppID, side Side, id MailboxID, d Draft) (Message, error) {
	m, err := t.Mailbox(app, id)
	if errors.Is(err, ErrNotFound) || err == nil && !m.HasOpen(side) {
		return Message{}, refuse(NotOpen, "this side has not opened that mailbox; open it with PUT first")
	}
	if err != nil {
		return Message{}, err
	}
	limits := t.s.Config.Limits
	m = m.Appended(d.Body, t.now)
	if int64(m.Last) > limits.MailboxMessages || m.Bytes > limits.MailboxBytes {
		return Message{}, refuse(QuotaExceeded, "a mailbox holds %d messages of %d bytes together; close this one and use another", limits.MailboxMessages, limits.MailboxBytes)
	}
	message := Message{Position: m.Last, Side: side, Draft: d, Received: t.now}
	if err := t.Append(m, message); err != nil {
		return message, err
	}
	return message, t.publish(m, MessageFrame{message})
}
