package torture

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"
)

// lastWord ends the bodies of last words.
const lastWord = "/last word"

// lastWords has each side add a message while nothing else happens in the room, and waits a while until the other one has it.
// Only then does a wake that was lost make a difference: in a lively room the next message brings it.
func (r *room) lastWords(ctx context.Context) error {
	for i, s := range r.sides {
		body, err := r.word(ctx, s)
		if err != nil {
			return err
		}
		for limit := r.h.now() + 3*time.Second; r.h.now() < limit && !r.h.has(r.sides[1-i].label(), body); {
			if err := pause(ctx, 10*time.Millisecond); err != nil {
				return err
			}
		}
	}
	return nil
}

// word adds a last word of a side.
func (r *room) word(ctx context.Context, s side) (body string, err error) {
	r.w.messages.Add(1)
	if s.wormhole != nil {
		err = s.wormhole.add(ctx, func() string {
			body = r.body(s.label()) + lastWord
			return body
		})
		return body, err
	}
	body = r.body(s.label()) + lastWord
	_, err = s.command(ctx, http.MethodPost, "/v1/mailboxes/"+r.mailbox+"/messages", draft(body))
	return body, err
}

// has tells whether a client has received a message.
func (h *history) has(label, body string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.ContainsFunc(h.events, func(e *Event) bool {
		return e.Session == label && (e.Kind == Frame || e.Kind == Message) && strings.Contains(e.Answer, body)
	})
}
