package handlers

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"restante/api"
	"restante/rendezvous"
	"restante/session"
)

type epochKey struct{}

// withEpoch returns a context in which acknowledgements go with a handshake of this epoch.
func withEpoch(ctx context.Context, epoch session.Epoch) context.Context {
	return context.WithValue(ctx, epochKey{}, epoch)
}

// epochOf returns the epoch that acknowledgements in ctx go with, or nil if none was named.
func epochOf(ctx context.Context) *session.Epoch {
	if epoch, ok := ctx.Value(epochKey{}).(session.Epoch); ok {
		return &epoch
	}
	return nil
}

// withEpochOfRequest is strict middleware for requests that name the epoch of their acknowledgement in a header. It is a
// number: the parameters were checked before.
func withEpochOfRequest(next api.StrictHandlerFunc, _ string) api.StrictHandlerFunc {
	return func(ctx context.Context, w http.ResponseWriter, r *http.Request, request any) (any, error) {
		if epoch, err := strconv.ParseInt(r.Header.Get("Epoch"), 10, 64); err == nil {
			ctx = withEpoch(ctx, session.Epoch(epoch))
		}
		return next(ctx, w, r, request)
	}
}

// olderEpoch returns the older of the epochs that a request names in its header and elsewhere, or nil if it names none.
func olderEpoch(ctx context.Context, named *api.Epoch) *session.Epoch {
	header := epochOf(ctx)
	if named == nil || header != nil && *header < session.Epoch(*named) {
		return header
	}
	return new(session.Epoch(*named))
}

// command returns what a use case needs to know of a request that changes something.
func command(ctx context.Context, seq *api.Seq, ack *api.Ack) rendezvous.Command {
	came := infoIn(ctx).content
	return rendezvous.Command{Session: caller(ctx), Keyed: keyedCaller(ctx), Seq: number(seq), Ack: number(ack), Epoch: epochOf(ctx), Fingerprint: came.fingerprint, IdempotencyKey: came.idempotencyKey, Address: addressOf(ctx)}
}

// query returns what a use case needs to know of a request that only looks.
func query(ctx context.Context, ack *api.Ack) rendezvous.Query {
	return rendezvous.Query{Session: caller(ctx), Keyed: keyedCaller(ctx), Ack: number(ack), Epoch: epochOf(ctx)}
}

func number(n *int64) *session.Seq {
	if n == nil {
		return nil
	}
	return new(session.Seq(*n))
}

// after returns a position in a mailbox, or 0 if there is none.
func after(p *api.After) rendezvous.Position {
	if p == nil {
		return 0
	}
	return rendezvous.Position(*p)
}

// openingOf returns the opening that a request asks for, or nil.
func openingOf(open *bool, ttl *int64) *rendezvous.MailboxOpening {
	if open == nil || !*open {
		return nil
	}
	return &rendezvous.MailboxOpening{TTL: milliseconds(ttl)}
}

// lifetime returns the longer life that the client asks for, or 0.
func lifetime(body *api.Lifetime) time.Duration {
	if body == nil {
		return 0
	}
	return milliseconds(body.TTLMs)
}

// farFuture stands for every duration that does not fit in a time.Duration.
const farFuture = 1<<63 - 1

// milliseconds returns a duration, or 0 if there is none.
func milliseconds(ms *int64) time.Duration {
	switch {
	case ms == nil:
		return 0
	case *ms > int64(farFuture/time.Millisecond):
		return farFuture
	}
	return time.Duration(*ms) * time.Millisecond
}

// unixMillis returns a time in milliseconds since the epoch, or 0 for the zero time.
func unixMillis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}
