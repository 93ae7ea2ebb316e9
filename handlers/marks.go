package handlers

import (
	"context"
	"net/http"
	"strconv"

	"restante/api"
	"restante/rendezvous"
	"restante/session"
)

// marks are what an answer to a session says besides its body.
type marks struct {
	wanted   *session.Seq
	replayed bool
}

type keyOfMarks struct{}

// marked is strict middleware that puts an answer's marks on it.
func (s *Server) marked(next api.StrictHandlerFunc, _ string) api.StrictHandlerFunc {
	return func(ctx context.Context, w http.ResponseWriter, r *http.Request, request any) (any, error) {
		var m marks
		response, err := next(context.WithValue(ctx, keyOfMarks{}, &m), w, r, request)
		if m.wanted != nil {
			mark(w.Header(), *m.wanted, m.replayed)
		}
		return response, err
	}
}

// mark says which command is wanted next, and whether this is a recorded reply.
func mark(h http.Header, wanted session.Seq, replayed bool) {
	h.Set("Ack", strconv.FormatInt(int64(wanted), 10))
	if replayed {
		h.Set("Replayed", "true")
	}
}

// answered unpacks an answer, and leaves its marks for the response.
func answered[R any](ctx context.Context, a rendezvous.Answer[R], err error) (R, error) {
	if m, ok := ctx.Value(keyOfMarks{}).(*marks); ok && err == nil {
		m.wanted, m.replayed = &a.Wanted, a.Replayed
	}
	return a.Result, err
}

// markWanted leaves the one mark of an answer that is no command's.
func markWanted(ctx context.Context, wanted session.Seq) {
	if m, ok := ctx.Value(keyOfMarks{}).(*marks); ok {
		m.wanted = &wanted
	}
}

// command is how this request changes something.
func command(ctx context.Context, seq *api.Seq, ack *api.Ack) rendezvous.Command {
	came, _ := ctx.Value(keyOfContent{}).(content)
	return rendezvous.Command{Session: caller(ctx), Seq: number(seq), Ack: number(ack), Fingerprint: came.print}
}

// query is how this request looks at something.
func query(ctx context.Context, ack *api.Ack) rendezvous.Query {
	return rendezvous.Query{Session: caller(ctx), Ack: number(ack)}
}

func number(n *int64) *session.Seq {
	if n == nil {
		return nil
	}
	return new(session.Seq(*n))
}
