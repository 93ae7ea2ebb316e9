package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
)

// socket is a party whose session receives, and sends commands, over a WebSocket.
type socket struct {
	member
	*wsConn
	command int // the number of the next
	frame   int // the next that is wanted
	unacked int
}

// serverMessage is a message of the server: one member is set.
type serverMessage struct {
	Heartbeat json.RawMessage `json:"heartbeat"`
	Frame     *frame          `json:"frame"`
	Error     json.RawMessage `json:"error"`
	Reply     *reply          `json:"reply"`
	ID        string          `json:"id"`
}

type reply struct {
	Status int             `json:"status"`
	Body   json.RawMessage `json:"body"`
}

func dialSocket(ctx context.Context, target *url.URL, app, side string) (*socket, error) {
	c, err := dial(ctx, target)
	if err != nil {
		return nil, err
	}
	defer c.hangUp()
	w, err := handshake(c, app, side)
	if err != nil {
		return nil, err
	}
	s := new(socket)
	s.member.ask = s.ask
	if s.wsConn, err = dialWebSocket(ctx, target, "/v1/session/socket", s.handle); err != nil {
		return nil, err
	}
	if err := s.send(fmt.Appendf(nil, `{"sessionId":%q,"epoch":%d,"ack":0}`, w.SessionID, w.Epoch)); err != nil {
		s.hangUp()
		return nil, err
	}
	return s, nil
}

// handle reads a message of the server. It acknowledges frames now and then, and heartbeats at once.
func (s *socket) handle(w *wsConn, text []byte) error {
	var t serverMessage
	if err := json.Unmarshal(text, &t); err != nil {
		return err
	}
	switch {
	case t.Error != nil:
		return errors.New(string(t.Error))
	case t.Reply != nil && t.Reply.Status >= 400:
		return errors.New(string(t.Reply.Body))
	case t.Reply != nil && t.ID == "":
		return nil
	case t.Reply != nil:
		return pass(w, w.answers, []byte(t.Reply.Body))
	case t.Frame != nil:
		return s.take(w, *t.Frame)
	}
	return s.acknowledge(w)
}

func (s *socket) take(w *wsConn, f frame) error {
	if f.Seq != s.frame {
		return fmt.Errorf("frame %d was to come, and %d came", s.frame, f.Seq)
	}
	s.frame++
	if s.unacked++; s.unacked >= ackEvery {
		if err := s.acknowledge(w); err != nil {
			return err
		}
	}
	if f.Type != "message" {
		return nil
	}
	return pass(w, w.messages, f.Body)
}

func (s *socket) acknowledge(w *wsConn) error {
	s.unacked = 0
	return w.send(fmt.Appendf(nil, `{"ack":%d}`, s.frame))
}

// order sends a command. With an id, it is answered.
func (s *socket) order(id, method, path string, body []byte) error {
	text := fmt.Appendf(nil, `{"id":%q,"seq":%d,"method":%q,"path":%q`, id, s.command, method, path)
	if body != nil {
		text = append(append(text, `,"body":`...), body...)
	}
	s.command++
	return s.send(append(text, '}'))
}

func (s *socket) ask(method, path string, body []byte) ([]byte, error) {
	if err := s.order("ask", method, path, body); err != nil {
		return nil, err
	}
	return s.answer()
}

func (s *socket) add(phase, body string) error {
	path, draft := s.draft(phase, body)
	return s.order("", "POST", path, draft)
}
