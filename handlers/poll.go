package handlers

import (
	"context"
	"math"
	"net/http"
	"time"

	"restante/internal/idleconn"
	"restante/rendezvous"
)

const (
	// forever is longer than any hold.
	forever time.Duration = math.MaxInt64
	// idleAfter is how long a session has had no frames when its polls leave their goroutines at once: most come
	// only to wait.
	idleAfter = 2 * time.Second
)

// waitingPoll is a long-poll that is held, on a goroutine or without one. It is an [idleconn.Waiter].
type waitingPoll struct {
	*rendezvous.Poll
	began time.Time
}

// poll receives by long-poll. A poll that waits for long leaves its goroutine, if it can: then there is no
// answer, and none may be given. The request is served again later, and continues here.
func (s *Server) poll(ctx context.Context, ask rendezvous.ReceiveRequest, how receiving) (_ rendezvous.Delivery, answered bool, err error) {
	n := infoOf(how.r)
	poll := n.poll
	if poll == nil {
		started, err := s.Service.StartPoll(ctx, ask)
		if err != nil {
			return rendezvous.Delivery{}, false, err
		}
		poll = &waitingPoll{started, n.began}
	}
	waits := false
	defer func() {
		if !waits {
			poll.Close()
		}
	}()
	linger := s.Limits.Linger
	if poll.IdleFor(idleAfter) {
		linger = 0
	}
	got, answered, err := poll.Wait(ctx, linger)
	if err != nil || answered {
		return got, answered, err
	}
	if waits = idleconn.Wait(how.w, how.r, poll); waits {
		return rendezvous.Delivery{}, false, nil
	}
	return poll.Wait(ctx, forever)
}

// noAnswer is the answer of a poll that waits without a goroutine.
type noAnswer struct{}

// VisitReceiveResponse implements [api.ReceiveResponseObject].
func (noAnswer) VisitReceiveResponse(http.ResponseWriter) error { return nil }
