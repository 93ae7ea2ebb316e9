package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
)

// wormhole is a party that speaks the magic-wormhole mailbox protocol.
type wormhole struct {
	*wsConn
	mailbox   string
	nameplate string
}

// received is a message of the server, as far as the benchmark uses it.
type received struct {
	Type      string `json:"type"`
	Side      string `json:"side"`
	Body      string `json:"body"`
	Nameplate string `json:"nameplate"`
	Mailbox   string `json:"mailbox"`
	Error     string `json:"error"`
}

func dialWormhole(ctx context.Context, target *url.URL, app, side string) (*wormhole, error) {
	handle := func(w *wsConn, text []byte) error {
		var m received
		if err := json.Unmarshal(text, &m); err != nil {
			return err
		}
		switch m.Type {
		case "ack":
			return nil
		case "message":
			if m.Side == side {
				return nil
			}
			return pass(w, w.messages, m.Body)
		case "error":
			return errors.New(m.Error)
		}
		return pass(w, w.answers, text)
	}
	wsConn, err := dialWebSocket(ctx, target, "/v1", handle)
	if err != nil {
		return nil, err
	}
	w := &wormhole{wsConn: wsConn}
	if _, err = w.expect("welcome"); err == nil {
		err = w.send(fmt.Appendf(nil, `{"type":"bind","id":"b","appid":%q,"side":%q}`, app, side))
	}
	if err != nil {
		w.hangUp()
		return nil, err
	}
	return w, nil
}

// expect waits for an answer of this type.
func (w *wormhole) expect(kind string) (received, error) {
	var m received
	text, err := w.answer()
	if err == nil {
		err = json.Unmarshal(text, &m)
	}
	if err == nil && m.Type != kind {
		err = fmt.Errorf("%q was to come, and %q came", kind, m.Type)
	}
	return m, err
}

// ask sends a command and waits for the answer.
func (w *wormhole) ask(kind, format string, args ...any) (received, error) {
	if err := w.send(fmt.Appendf(nil, format, args...)); err != nil {
		return received{}, err
	}
	return w.expect(kind)
}

func (w *wormhole) allocate() (string, error) {
	m, err := w.ask("allocated", `{"type":"allocate","id":"a"}`)
	if err != nil {
		return "", err
	}
	return m.Nameplate, w.claim(m.Nameplate)
}

func (w *wormhole) claim(nameplate string) error {
	m, err := w.ask("claimed", `{"type":"claim","id":"c","nameplate":%q}`, nameplate)
	w.nameplate, w.mailbox = nameplate, m.Mailbox
	return err
}

func (w *wormhole) open(mailbox string) error {
	if mailbox != "" {
		w.mailbox = mailbox
	}
	// There is no answer to open; what is added before it is done is replayed.
	return w.send(fmt.Appendf(nil, `{"type":"open","id":"o","mailbox":%q}`, w.mailbox))
}

func (w *wormhole) add(phase, body string) error {
	return w.send(fmt.Appendf(nil, `{"type":"add","id":"m","phase":%q,"body":%q}`, phase, body))
}

func (w *wormhole) release() error {
	_, err := w.ask("released", `{"type":"release","id":"r"}`)
	return err
}

func (w *wormhole) end() error { return w.leave() }

func (w *wormhole) leave() error {
	_, err := w.ask("closed", `{"type":"close","id":"x","mailbox":%q,"mood":"happy"}`, w.mailbox)
	return err
}
