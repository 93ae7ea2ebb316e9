package handlers

import (
	"context"

	"restante/api"
	"restante/rendezvous"
)

// AddMessage is POST /v1/mailboxes/{mailbox}/messages.
func (s *Server) AddMessage(ctx context.Context, r api.AddMessageRequestObject) (api.AddMessageResponseObject, error) {
	draft := rendezvous.Draft{Phase: r.Body.Phase, Body: *r.Body.Body, ID: r.Body.ID}
	a, err := s.Service.Add(ctx, command(ctx, r.Params.Seq, r.Params.Ack), rendezvous.MailboxID(r.Mailbox), draft)
	added, err := resultOf(ctx, a, err)
	if err != nil {
		return nil, err
	}
	return api.AddMessage201JSONResponse{Position: int64(added.Position), ServerRx: added.Received.UnixMilli()}, nil
}

// allMessages is the limit of a page for which none was asked.
const allMessages = 100

// ListMessages is GET /v1/mailboxes/{mailbox}/messages.
func (s *Server) ListMessages(ctx context.Context, r api.ListMessagesRequestObject) (api.ListMessagesResponseObject, error) {
	limit := allMessages
	if r.Params.Limit != nil {
		limit = int(*r.Params.Limit)
	}
	a, err := s.Service.Read(ctx, query(ctx, r.Params.Ack), rendezvous.MailboxID(r.Mailbox), after(r.Params.After), limit)
	page, err := resultOf(ctx, a, err)
	if err != nil {
		return nil, err
	}
	list := api.ListMessages200JSONResponse{LastPosition: int64(page.Last), Messages: make([]api.Message, len(page.Messages))}
	for i, m := range page.Messages {
		list.Messages[i] = api.Message{
			Position: int64(m.Position), Side: string(m.Side), Phase: m.Phase, Body: m.Body, ID: m.ID, ServerRx: m.Received.UnixMilli(),
		}
	}
	return list, nil
}
