package bench

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// session is a party over HTTP: one connection for commands, one to receive.
type session struct {
	member
	ctx      context.Context //nolint:containedctx // the life of its connections
	target   *url.URL
	commands *connection
	receives *connection
	streams  bool
	idles    bool          // it streams and does nothing else; then it has no connection for commands
	stream   *bufio.Reader // once it streams
	header   string        // of every request
	command  int           // the number of the next
	frame    int           // the next that is wanted
	epoch    int
	frames   []frame // received, and not asked for yet
	unacked  int
}

// frame is a frame of the session.
type frame struct {
	Seq  int    `json:"seq"`
	Type string `json:"type"`
	Body string `json:"body"`
}

func dialSession(ctx context.Context, target *url.URL, app, side string, streams bool) (*session, error) {
	commands, err := dial(ctx, target)
	if err != nil {
		return nil, err
	}
	w, err := handshake(commands, app, side)
	if err != nil {
		commands.hangUp()
		return nil, err
	}
	s := &session{ctx: ctx, target: target, commands: commands, streams: streams, epoch: w.Epoch}
	s.header = "Authorization: Bearer " + w.SessionID + "\r\n"
	s.member.ask = s.ask
	return s, nil
}

// ask sends a command.
func (s *session) ask(method, path string, body []byte) ([]byte, error) {
	header := s.header + "Seq: " + strconv.Itoa(s.command) + "\r\n"
	if body == nil && method != "DELETE" {
		header += "Content-Length: 0\r\n"
	}
	s.command++
	return s.commands.do(method, path, header, body)
}

func (s *session) add(phase, body string) error {
	_, err := s.post(phase, body)
	return err
}

func (s *session) hangUp() {
	s.commands.hangUp()
	if s.receives != nil {
		s.receives.hangUp()
	}
}

func (s *session) receive() (string, error) {
	for {
		for len(s.frames) > 0 {
			f := s.frames[0]
			s.frames = s.frames[1:]
			if f.Seq != s.frame {
				return "", fmt.Errorf("frame %d was to come, and %d came", s.frame, f.Seq)
			}
			s.frame++
			if f.Type == "message" {
				return f.Body, nil
			}
		}
		if err := s.more(); err != nil {
			return "", err
		}
	}
}

// more waits for frames, or for a heartbeat.
func (s *session) more() error {
	if s.receives == nil {
		var err error
		if s.receives, err = dial(s.ctx, s.target); err != nil {
			return err
		}
	}
	if s.streams {
		return s.event()
	}
	answer, err := s.receives.do("GET", s.path(), s.header, nil)
	if err != nil {
		return err
	}
	var got struct {
		Frames []frame `json:"frames"`
	}
	err = json.Unmarshal(answer, &got)
	s.frames = got.Frames
	return err
}

func (s *session) path() string {
	return fmt.Sprintf("/v1/session/events?ack=%d&epoch=%d", s.frame, s.epoch)
}

// ackEvery is how many frames of a stream are acknowledged together.
const ackEvery = 64

// event reads the next event of the stream.
func (s *session) event() error {
	if s.stream == nil {
		response, err := s.receives.ask("GET", s.path(), s.header+"Accept: text/event-stream\r\n", nil) //nolint:bodyclose // it ends with the connection
		if err != nil {
			return err
		}
		if response.StatusCode != http.StatusOK {
			answer, _ := io.ReadAll(response.Body)
			return fmt.Errorf("GET /v1/session/events: %s: %s", response.Status, answer)
		}
		s.stream = bufio.NewReader(response.Body)
	}
	if err := s.receives.SetDeadline(time.Now().Add(answerTimeout)); err != nil {
		return err
	}
	var name string
	for {
		line, err := s.stream.ReadSlice('\n')
		if err != nil {
			return err
		}
		line = bytes.TrimSuffix(line, []byte("\n"))
		if len(line) == 0 {
			return nil
		}
		if value, is := bytes.CutPrefix(line, []byte("event: ")); is {
			name = string(value)
		}
		data, is := bytes.CutPrefix(line, []byte("data: "))
		if !is {
			continue
		}
		if err := s.heard(name, data); err != nil {
			return err
		}
	}
}

// heard handles an event. It acknowledges frames now and then, and heartbeats at once.
func (s *session) heard(name string, data []byte) error {
	switch name {
	case "error":
		return errors.New(string(data))
	case "frame":
		var f frame
		if err := json.Unmarshal(data, &f); err != nil {
			return err
		}
		s.frames = append(s.frames[:0], f)
		if s.unacked++; s.unacked < ackEvery {
			return nil
		}
	}
	s.unacked = 0
	commands := s.commands
	if s.idles {
		var err error
		if commands, err = dial(s.ctx, s.target); err != nil {
			return err
		}
		defer commands.hangUp()
	}
	_, err := commands.do("POST", "/v1/session/ack", s.header, fmt.Appendf(nil, `{"ack":%d}`, s.frame))
	return err
}

// idle waits on the one connection that a client has which only polls.
func (s *session) idle() error {
	if s.streams {
		s.idles = true
		s.commands.hangUp()
	} else {
		s.receives = s.commands
	}
	for {
		if err := s.more(); err != nil {
			return err
		}
	}
}
