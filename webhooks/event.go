package webhooks

import (
	"encoding/json"
	"time"

	"restante/rendezvous"
)

// payload is the body of a request, as openapi.yaml describes it.
type payload struct {
	Type      string `json:"type"`
	Timestamp string `json:"timestamp"`
	Data      data   `json:"data"`
}

type data struct {
	App     rendezvous.AppID     `json:"appId"`
	Mailbox rendezvous.MailboxID `json:"mailbox"`

	*message
	*retirement
}

type message struct {
	Position rendezvous.Position `json:"position"`
	Side     rendezvous.Side     `json:"side"`
	Phase    string              `json:"phase"`
	Body     string              `json:"body"`
	ID       *string             `json:"id,omitempty"`
	Received int64               `json:"serverRx"`
}

type retirement struct {
	Reason rendezvous.RetiredReason `json:"reason"`
	Last   rendezvous.Position      `json:"lastPosition"`
}

// encode returns the body for an event: the same bytes each time.
func encode(e rendezvous.Event) ([]byte, error) {
	p := payload{Timestamp: e.At.UTC().Format(time.RFC3339Nano), Data: data{App: e.App, Mailbox: e.Mailbox}}
	if m := e.Message; m != nil {
		p.Type = "message.added"
		p.Data.message = &message{m.Position, m.Side, m.Phase, m.Body, m.ID, m.Received.UnixMilli()}
	} else {
		p.Type = "mailbox.retired"
		p.Data.retirement = &retirement{e.Reason, e.Last}
	}
	return json.Marshal(p)
}
