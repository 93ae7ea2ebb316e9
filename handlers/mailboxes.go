package handlers

import (
	"context"

	"restante/api"
	"restante/rendezvous"
)

// OpenMailbox is PUT /v1/mailboxes/{mailbox}.
func (s *Server) OpenMailbox(ctx context.Context, r api.OpenMailboxRequestObject) (api.OpenMailboxResponseObject, error) {
	a, err := s.Service.Open(ctx, command(ctx, r.Params.Seq, r.Params.Ack), rendezvous.MailboxID(r.Mailbox), after(r.Params.After), lifetime(r.Body))
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

func mailbox(seen rendezvous.MailboxView) api.Mailbox {
	m := api.Mailbox{Mailbox: string(seen.Mailbox), LastPosition: int64(seen.Last), Sides: make([]api.Occupant, len(seen.Sides))}
	for i, side := range seen.Sides {
		m.Sides[i].Side = string(side.Side)
		if side.Mood != "" {
			m.Sides[i].Mood = new(api.Mood(side.Mood))
		}
	}
	return m
}
