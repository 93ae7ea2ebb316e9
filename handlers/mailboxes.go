package handlers

import (
	"context"

	"restante/api"
	"restante/rendezvous"
)

// OpenMailbox is PUT /v1/mailboxes/{mailbox}.
func (s *Server) OpenMailbox(ctx context.Context, r api.OpenMailboxRequestObject) (api.OpenMailboxResponseObject, error) {
	a, err := s.Service.Open(ctx, command(ctx, r.Params.Seq, r.Params.Ack), rendezvous.MailboxID(r.Mailbox), rendezvous.OpenRequest{
		After: after(r.Params.After), TTL: lifetime(r.Body),
		Watch: rendezvous.Watch{Presence: isTrue(r.Params.Presence), Receipts: isTrue(r.Params.Receipts)},
	})
	seen, err := resultOf(ctx, a, err)
	if err != nil {
		return nil, err
	}
	return api.OpenMailbox200JSONResponse(mailbox(seen)), nil
}

// GetMailbox is GET /v1/mailboxes/{mailbox}.
func (s *Server) GetMailbox(ctx context.Context, r api.GetMailboxRequestObject) (api.GetMailboxResponseObject, error) {
	a, err := s.Service.Mailbox(ctx, query(ctx, r.Params.Ack), rendezvous.MailboxID(r.Mailbox))
	seen, err := resultOf(ctx, a, err)
	if err != nil {
		return nil, err
	}
	return api.GetMailbox200JSONResponse(mailbox(seen)), nil
}

// CloseMailbox is DELETE /v1/mailboxes/{mailbox}.
func (s *Server) CloseMailbox(ctx context.Context, r api.CloseMailboxRequestObject) (api.CloseMailboxResponseObject, error) {
	felt := rendezvous.Happy
	if r.Params.Mood != nil {
		felt = rendezvous.Mood(*r.Params.Mood)
	}
	a, err := s.Service.Close(ctx, command(ctx, r.Params.Seq, r.Params.Ack), rendezvous.MailboxID(r.Mailbox), felt)
	if _, err := resultOf(ctx, a, err); err != nil {
		return nil, err
	}
	return api.CloseMailbox204Response{}, nil
}

// isTrue reports whether a parameter is given and true.
func isTrue(parameter *bool) bool { return parameter != nil && *parameter }

func mailbox(seen rendezvous.MailboxView) api.Mailbox {
	m := api.Mailbox{Mailbox: string(seen.Mailbox), LastPosition: int64(seen.Last), Sides: make([]api.Occupant, len(seen.Sides))}
	for i, side := range seen.Sides {
		m.Sides[i].Side = string(side.Side)
		if side.Mood != "" {
			m.Sides[i].Mood = new(api.Mood(side.Mood))
		}
		if state, reason := side.Attendance.State(); state != "" {
			m.Sides[i].State = new(api.PresenceState(state))
			if reason != "" {
				m.Sides[i].Reason = new(api.AwayReason(reason))
			}
		}
		if side.Received > 0 {
			m.Sides[i].Received = new(int64(side.Received))
		}
	}
	return m
}
