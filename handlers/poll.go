package handlers

import (
	"context"
	"math"
	"net/http"
	"time"

	"restante/parking"
	"restante/rendezvous"
)

const (
	// forever is longer than any hold.
	forever time.Duration = math.MaxInt64
	// quiet is for how long a session has had no frames whose poll is parked at once: most come only to wait.
	quiet = 2 * time.Second
)

// heldPoll is a long-poll that is held, on a goroutine or in the parking lot.
type heldPoll struct {
	*rendezvous.Poll
	began time.Time
}

// poll receives by long-poll. One that waits for long waits in the parking lot, if it can: then there is
// no answer, and none may be given. It comes back as the same request, and goes on here.
func (s *Server) poll(ctx context.Context, ask rendezvous.ReceiveRequest, how receiving) (_ rendezvous.Delivery, answered bool, err error) {
	n := note(how.r)
	held := n.takeResumed()
	if held == nil {
		begun, err := s.Service.StartPoll(ctx, ask)
		if err != nil {
			return rendezvous.Delivery{}, false, err
		}
		held = &heldPoll{begun, n.began}
	}
	parked := false
	defer func() {
		if !parked {
			held.Close()
		}
	}()
	if !n.stirs && s.Parking.Parks(how.r) {
		linger := s.Limits.Linger
		if held.IdleFor(quiet) {
			linger = 0
		}
		got, answered, err := held.Wait(ctx, linger)
		if err != nil || answered {
			return got, answered, err
		}
		n.parked = true // before another goroutine serves it again
		if parked = s.Parking.Park(how.w, how.r, held); parked {
			return rendezvous.Delivery{}, false, nil
		}
		n.parked = false
	}
	return held.Wait(ctx, forever)
}

// parkedPoll is the answer that is not given.
type parkedPoll struct{}

// VisitReceiveResponse implements [api.ReceiveResponseObject].
func (parkedPoll) VisitReceiveResponse(http.ResponseWriter) error { return nil }

// resume takes note of what a request left that was parked.
func (n *requestNote) resume(r *http.Request) {
	waiting, stirs := parking.Resume(r)
	if held, is := waiting.(*heldPoll); is {
		n.resumed, n.stirs, n.again, n.began = held, stirs, true, held.began
	}
}

// takeResumed is what the request left, once.
func (n *requestNote) takeResumed() *heldPoll {
	held := n.resumed
	n.resumed = nil
	return held
}

// abandon ends what nobody took.
func (n *requestNote) abandon() {
	if held := n.takeResumed(); held != nil {
		held.Close()
	}
}
