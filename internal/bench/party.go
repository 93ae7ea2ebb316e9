package bench

import (
	"context"
	"time"
)

// answerTimeout is how long an answer is waited for.
const answerTimeout = 30 * time.Second

// party is one side of a conversation.
type party interface {
	// allocate takes a free nameplate, and claims it.
	allocate() (nameplate string, err error)
	// claim claims a nameplate.
	claim(nameplate string) error
	// open opens a mailbox: this one, or if it is "" the one behind the nameplate.
	open(mailbox string) error
	// add adds a message. Over a WebSocket it does not wait for the answer.
	add(phase, body string) error
	// receive waits for the next message of the other side.
	receive() (body string, err error)
	// idle waits, in silence but for heartbeats, until the context of its connection ends.
	idle() error
	// release gives the nameplate back.
	release() error
	// leave closes the mailbox.
	leave() error
	// end ends the session, if there is one, and closes all that it holds.
	end() error
	// hangUp closes the connections.
	hangUp()
}

// join connects a client.
func (l *load) join(ctx context.Context, side string) (party, error) {
	app := "restante-bench"
	switch l.Protocol {
	case "wormhole":
		return dialWormhole(ctx, l.target, app, l.run+side)
	case "socket":
		return dialSocket(ctx, l.target, app, l.run+side)
	}
	return dialSession(ctx, l.target, app, l.run+side, l.Protocol == "sse")
}

// pair connects both sides.
func (l *load) pair(ctx context.Context, name string) (a, b party, err error) {
	if a, err = l.join(ctx, name+"a"); err != nil {
		return nil, nil, err
	}
	if b, err = l.join(ctx, name+"b"); err != nil {
		a.hangUp()
		return nil, nil, err
	}
	return a, b, nil
}
