package handlers

import (
	"context"
	"net/http"
	"strconv"

	"restante/api"
	"restante/rendezvous"
	"restante/session"
)

// replyHeaders are what the headers of a reply say to a session.
type replyHeaders struct {
	wanted   *session.Seq // nil: it is not said
	replayed bool
}

// withReplyHeaders is strict middleware that sets the headers of a reply.
func (s *Server) withReplyHeaders(next api.StrictHandlerFunc, _ string) api.StrictHandlerFunc {
	return func(ctx context.Context, w http.ResponseWriter, r *http.Request, request any) (any, error) {
		response, err := next(ctx, w, r, request)
		h := &infoIn(ctx).reply
		writeReplyHeaders(w.Header(), h.wanted, h.replayed)
		return response, err
	}
}

// writeReplyHeaders says which command is wanted next, and whether this is a recorded reply.
func writeReplyHeaders(h http.Header, wanted *session.Seq, replayed bool) {
	if wanted != nil {
		h.Set("Ack", strconv.FormatInt(int64(*wanted), 10))
	}
	if replayed {
		h.Set("Replayed", "true")
	}
}

// resultOf returns the result of a use case, and records the headers of its reply.
func resultOf[R any](ctx context.Context, a rendezvous.Answer[R], err error) (R, error) {
	if h := &infoIn(ctx).reply; err == nil {
		h.replayed = a.Replayed
		if keyedCaller(ctx).App == "" {
			h.wanted = &a.Wanted
		}
	}
	return a.Result, err
}

// replyWanted records the header of a reply that answers no command.
func replyWanted(ctx context.Context, wanted session.Seq) {
	infoIn(ctx).reply.wanted = &wanted
}
