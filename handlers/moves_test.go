package handlers_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/gorilla/websocket"
	"pgregory.net/rapid"
)

// mover is a client that receives on whichever transport it is on.
type mover struct {
	*client
	next    int      // the frame it wants next
	heard   []string // the bodies, in order
	sent    int      // messages added, or being added
	adding  sync.WaitGroup
	stream  *stream
	socket  *socketClient
	streams []*stream // left open behind it
	sockets []*socketClient
}

// take takes in a frame. Only what is wanted next may come, for each transport begins at that.
func (m *mover) take(raw string) {
	m.Helper()
	var f struct {
		Seq  int
		Type string
		Body string
	}
	if err := json.Unmarshal([]byte(raw), &f); err != nil {
		m.Fatal(err)
	}
	if f.Seq != m.next {
		m.Fatalf("frame %d comes, %d is wanted", f.Seq, m.next)
	}
	m.next++
	if f.Type == "message" {
		m.heard = append(m.heard, f.Body)
	}
}

// move begins to receive on another transport. What it was on is cut, or left to be superseded.
func (m *mover) move(to string, cut bool) {
	m.Helper()
	if cut && m.stream != nil {
		m.stream.cut()
	} else if m.stream != nil {
		m.streams = append(m.streams, m.stream)
	}
	if cut && m.socket != nil {
		_ = m.socket.conn.Close()
	} else if m.socket != nil {
		m.sockets = append(m.sockets, m.socket)
	}
	m.stream, m.socket = nil, nil
	switch to {
	case "stream, acknowledging":
		m.stream = m.get("/v1/session/events?ack=" + strconv.Itoa(m.next)).streams()
	case "stream, after the last event":
		r := m.get("/v1/session/events")
		if m.next > 0 {
			r.with("Last-Event-ID: " + strconv.Itoa(m.next-1))
		}
		m.stream = r.streams()
	case "socket":
		m.socket = m.connects(fmt.Sprintf(`, "ack": %d`, m.next))
		m.socket.want("heartbeat")
		return
	default:
		return
	}
	m.stream.next("heartbeat")
}

// receive takes in so many frames at least.
func (m *mover) receive(n int) {
	m.Helper()
	for until := m.next + n; m.next < until; {
		switch {
		case m.stream != nil:
			m.take(m.stream.next("frame").data)
		case m.socket != nil:
			raw := m.socket.want("frame")
			m.take(raw[len(`{"frame":`) : len(raw)-1])
		default:
			got := m.get("/v1/session/events?ack=" + strconv.Itoa(m.next)).want(http.StatusOK)
			for i := range got.count("frames") {
				text, err := json.Marshal(got.at("frames/" + strconv.Itoa(i)))
				if err != nil {
					m.Fatal(err)
				}
				m.take(string(text))
			}
		}
	}
}

// left is sure that whatever was left open has ended, and was told why.
func (m *mover) left() {
	m.Helper()
	for _, s := range m.streams {
		for {
			e, err := s.try()
			if err != nil {
				m.Fatalf("a stream that was left ends with %v", err)
			}
			if e.name == "error" {
				if !strings.Contains(e.data, `"SUPERSEDED"`) || !strings.Contains(e.data, `"slow_down"`) {
					m.Errorf("a stream that was left ends with %s", e.data)
				}
				break
			}
		}
	}
	for _, l := range m.sockets {
		var err error
		for err == nil {
			_, _, err = l.conn.ReadMessage()
		}
		var closed *websocket.CloseError
		if !errors.As(err, &closed) || closed.Code != 4409 || closed.Text != "SUPERSEDED slow_down" {
			m.Errorf("a socket that was left ends with %v", err)
		}
	}
}

// Whatever way a client moves between the transports, in the middle of
// whatever comes, with connections cut: every message arrives exactly once, in order.
func TestMovingBetweenTransportsLosesAndRepeatsNothing(t *testing.T) {
	w := start(t, options{})
	rapid.Check(t, func(rt *rapid.T) {
		a := w.begin(t, "app", newID())
		b := w.begin(t, "app", newID())
		mailbox := newID()
		a.open(mailbox).want(http.StatusOK)
		m := &mover{client: a}
		b.open(mailbox).want(http.StatusOK) // frame 0
		for range rapid.IntRange(1, 8).Draw(rt, "moves") {
			m.move(rapid.SampledFrom([]string{"poll", "stream, acknowledging", "stream, after the last event", "socket"}).Draw(rt, "to"), rapid.Bool().Draw(rt, "cut"))
			from, more := m.sent, rapid.IntRange(0, 5).Draw(rt, "adds")
			m.adding.Wait() // one writer, so that the order is known
			m.adding.Go(func() {
				for i := range more {
					b.add(mailbox, "p", strconv.Itoa(from+i)).want(http.StatusCreated)
				}
			})
			m.sent += more
			m.receive(rapid.IntRange(0, m.sent+1-m.next).Draw(rt, "receives"))
		}
		m.receive(m.sent + 1 - m.next)
		m.adding.Wait()
		for i, body := range m.heard {
			if body != strconv.Itoa(i) {
				rt.Fatalf("it heard %q", m.heard)
			}
		}
		if len(m.heard) != m.sent {
			rt.Fatalf("it heard %d of %d", len(m.heard), m.sent)
		}
		m.move("poll", true)
		m.receive(0)
		a.poll(m.next).want(http.StatusOK)
		m.left()
	})
}
