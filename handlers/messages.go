package handlers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/go-playground/validator/v10"

	"restante/api"
	"restante/internal/idleconn"
	"restante/rendezvous"
)

// AddMessage is POST /v1/mailboxes/{mailbox}/messages.
func (s *Server) AddMessage(ctx context.Context, r api.AddMessageRequestObject) (api.AddMessageResponseObject, error) {
	id, opening := rendezvous.MailboxID(r.Mailbox), openingOf(r.Params.Open, r.Params.TTLMs)
	if isList(*r.Body) {
		return s.addAll(ctx, r, id, opening)
	}
	draft, err := draftOf(*r.Body)
	if err != nil {
		return nil, err
	}
	a, err := s.Service.OpenAndAdd(ctx, command(ctx, r.Params.Seq, r.Params.Ack), id, draft, opening)
	added, err := resultOf(ctx, a, err)
	if err != nil {
		return nil, err
	}
	return api.AddMessage201JSONResponse{Position: int64(added.Position), ServerRx: added.Received.UnixMilli()}, nil
}

// addAll adds a list of messages.
func (s *Server) addAll(ctx context.Context, r api.AddMessageRequestObject, id rendezvous.MailboxID, opening *rendezvous.MailboxOpening) (api.AddMessageResponseObject, error) {
	drafts, err := draftsOf(*r.Body)
	if err != nil {
		return nil, err
	}
	s.limiters.charge(addressOf(ctx), (len(drafts)-1)/messagesPerToken)
	a, err := s.Service.AddAll(ctx, command(ctx, r.Params.Seq, r.Params.Ack), id, drafts, opening)
	added, err := resultOf(ctx, a, err)
	if err != nil {
		return nil, err
	}
	reply := allAdded{Positions: make([]api.Position, added.Count), ServerRx: added.Received.UnixMilli()}
	for i := range reply.Positions {
		reply.Positions[i] = int64(added.First) + int64(i)
	}
	return reply, nil
}

const (
	// maxDrafts is how many messages a list may have.
	maxDrafts = 100
	// messagesPerToken is how many messages of a list cost as much of the caller's allowance as a request.
	messagesPerToken = 10
)

// isList reports whether a body that may be a message or a list of messages is a list.
func isList(body json.RawMessage) bool { return len(body) > 0 && body[0] == '[' }

// draftOf decodes a message.
func draftOf(body json.RawMessage) (rendezvous.Draft, error) {
	var draft api.Draft
	if err := decodeMessage(body, &draft); err != nil {
		return rendezvous.Draft{}, err
	}
	return rendezvous.Draft{Phase: draft.Phase, Body: *draft.Body, ID: draft.ID}, nil
}

// draftsOf decodes a list of messages.
func draftsOf(body json.RawMessage) ([]rendezvous.Draft, error) {
	var list []api.Draft
	if err := decodeJSON(body, &list); err != nil {
		return nil, err
	}
	if len(list) == 0 || len(list) > maxDrafts {
		return nil, &invalid{rendezvous.InvalidRequest, violations("#/body", "items", fmt.Sprintf("must have 1 to %d messages", maxDrafts))}
	}
	bad := &invalid{code: rendezvous.InvalidRequest}
	drafts := make([]rendezvous.Draft, len(list))
	for i, draft := range list {
		err := validate.Struct(draft)
		if broken, is := errors.AsType[validator.ValidationErrors](err); is {
			bad.add(fmt.Sprintf("#/body/%d/", i), broken)
			continue
		}
		if err != nil {
			return nil, err
		}
		drafts[i] = rendezvous.Draft{Phase: draft.Phase, Body: *draft.Body, ID: draft.ID}
	}
	if len(bad.violations) > 0 {
		return nil, bad
	}
	return drafts, nil
}

// allAdded is the reply to a list of messages.
type allAdded api.AllAdded

// VisitAddMessageResponse implements [api.AddMessageResponseObject].
func (a allAdded) VisitAddMessageResponse(w http.ResponseWriter) error {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusCreated)
	_, err := w.Write(encode(a))
	return err
}

// passedPerToken is how many messages that a read passes over, because its side added them, cost as much of the caller's
// allowance as a request.
const passedPerToken = 1000

// allMessages is the limit of a page for which none was asked.
const allMessages = 100

// ListMessages is GET /v1/mailboxes/{mailbox}/messages.
func (s *Server) ListMessages(ctx context.Context, r api.ListMessagesRequestObject) (api.ListMessagesResponseObject, error) {
	how := infoIn(ctx).reads
	whole := context.WithoutCancel(ctx) // see toItsEnd
	limit := allMessages
	if r.Params.Limit != nil {
		limit = int(*r.Params.Limit)
	}
	ask := rendezvous.ReadRequest{Mailbox: rendezvous.MailboxID(r.Mailbox), After: after(r.Params.After), Limit: limit, Bytes: how.place.take()}
	side := keyedCaller(ctx)
	if side.App == "" && r.Params.Open == nil && r.Params.Wait == nil && r.Params.Own == nil {
		a, err := s.Service.Read(whole, query(ctx, r.Params.Ack), ask)
		page, err := resultOf(ctx, a, err)
		tracePage(infoOf(how.r).span, ask.Mailbox, page)
		return how.answer(page), err
	}
	if side.App == "" {
		a, err := s.Service.SideOf(whole, query(ctx, r.Params.Ack))
		if side, err = resultOf(ctx, a, err); err != nil {
			return nil, err
		}
		side.Address = addressOf(ctx)
		ask.Session = caller(ctx)
	}
	if opening := openingOf(r.Params.Open, r.Params.TTLMs); opening != nil {
		ask.Open, ask.TTL = true, opening.TTL
	}
	if r.Params.Wait != nil && !isCommand(ctx) {
		ask.Wait = time.Duration(*r.Params.Wait) * time.Second
	}
	ask.Own = !ask.Open && r.Params.Wait == nil
	if r.Params.Own != nil {
		ask.Own = *r.Params.Own
	}
	page, answered, err := s.readLog(ctx, side, ask, how)
	switch {
	case err != nil:
		return nil, err
	case !answered:
		return noMessages{}, nil
	}
	tracePage(infoOf(how.r).span, ask.Mailbox, page)
	return how.answer(page), nil
}

// waitingRead is a read that is held, on a goroutine or without one. It is an [idleconn.Waiter].
type waitingRead struct {
	*rendezvous.LogPoll
	began time.Time
}

// readLog reads a log for a side. As in [Server.poll], a read that waits for long leaves its
// goroutine, if it can: then there is no answer, and none may be given.
func (s *Server) readLog(ctx context.Context, side rendezvous.SideRef, ask rendezvous.ReadRequest, how reading) (_ rendezvous.Page, answered bool, err error) {
	info := infoOf(how.r)
	held := info.read
	if held != nil {
		held.Allow(ask.Bytes)
	} else {
		started, err := s.Service.StartRead(context.WithoutCancel(ctx), side, ask) // see toItsEnd
		if err != nil {
			return rendezvous.Page{}, false, err
		}
		s.limiters.charge(addressOf(ctx), started.Passed()/passedPerToken)
		held = &waitingRead{started, info.began}
	}
	waits := false
	defer func() {
		if !waits {
			held.Close()
		}
	}()
	for {
		page, answered, err := held.Wait(ctx, 0)
		if err != nil || answered {
			return page, answered, err
		}
		how.place.giveBack()
		if !isReady(ctx, held, s.Limits.Linger) {
			if waits = idleconn.Wait(how.w, how.r, held); waits {
				return rendezvous.Page{}, false, nil
			}
			isReady(ctx, held, forever)
		}
		held.Allow(how.place.take())
	}
}

// noMessages is the answer of a read that waits without a goroutine.
type noMessages struct{}

// VisitListMessagesResponse implements [api.ListMessagesResponseObject].
func (noMessages) VisitListMessagesResponse(http.ResponseWriter) error { return nil }

// reading is how a request reads a log.
type reading struct {
	asText bool
	place  *answerPlace
	w      http.ResponseWriter
	r      *http.Request
}

// negotiateMessages is middleware for reading a log. The answer is JSON, or text if Accept prefers that.
func (s *Server) negotiateMessages(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Add("Vary", "Accept")
		accept := r.Header.Values("Accept")
		how := reading{w: w, r: r}
		switch {
		case prefers(accept, "text/plain"):
			how.asText = true
		case weight(accept, "application/json") > 0:
		case weight(accept, "text/plain") > 0:
			how.asText = true
		default:
			s.fail(w, r, &rendezvous.Failure{Code: notAcceptable, Detail: "messages come as application/json and as text/plain"})
			return
		}
		how.place = s.placeFor(addressOf(r.Context()))
		defer how.place.giveBack()
		infoOf(r).reads = how
		next.ServeHTTP(w, r)
	})
}

// answer returns the answer with a page.
func (how reading) answer(page rendezvous.Page) api.ListMessagesResponseObject {
	return listed{page, how.asText}
}

// listed is an answer with messages.
type listed struct {
	page   rendezvous.Page
	asText bool
}

// VisitListMessagesResponse implements [api.ListMessagesResponseObject].
func (l listed) VisitListMessagesResponse(w http.ResponseWriter) error {
	w.Header().Set("After", strconv.FormatInt(int64(l.page.Next), 10))
	if !l.asText {
		return messages(l.page).VisitListMessagesResponse(w)
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(http.StatusOK)
	for _, m := range l.page.Messages {
		if _, err := io.WriteString(w, m.Body); err != nil {
			return err
		}
	}
	return nil
}

func messages(page rendezvous.Page) api.ListMessages200JSONResponse {
	list := api.ListMessages200JSONResponse{LastPosition: int64(page.Last), Messages: make([]api.Message, len(page.Messages))}
	for i, m := range page.Messages {
		list.Messages[i] = api.Message{
			Position: int64(m.Position), Side: string(m.Side), Phase: m.Phase, Body: m.Body, ID: m.ID, ServerRx: m.Received.UnixMilli(),
		}
	}
	return list
}
