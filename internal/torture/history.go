package torture

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"time"
)

// Kind is what an event is.
type Kind string

// The kinds of events.
const (
	Request   Kind = "request"   // one attempt of a request, and its answer if there was one
	Handshake Kind = "handshake" // the same, of a handshake
	Frame     Kind = "frame"     // a frame that arrived
	Beat      Kind = "heartbeat" // a heartbeat that arrived
	Message   Kind = "message"   // a message that a wormhole socket delivered
	Said      Kind = "said"      // what a wormhole client sent, and the answer
	Notice    Kind = "notice"    // a wormhole client was told that a third side was refused
	Fault     Kind = "fault"     // what was done to the servers
	Note      Kind = "note"      // what a client knows, such as that it received all there is
)

// none is a number that is absent.
const none = -1

// Event is something that happened, or that was tried. Times count from the beginning of the run.
type Event struct {
	Kind      Kind          `json:"kind"`
	At        time.Duration `json:"at"`   // when it began
	Done      time.Duration `json:"done"` // when it ended
	Session   string        `json:"session,omitempty"`
	Transport string        `json:"transport,omitempty"`
	Conn      int64         `json:"conn,omitempty"` // what the frames and heartbeats of one answer or connection share
	Method    string        `json:"method,omitempty"`
	Path      string        `json:"path,omitempty"`
	Seq       int64         `json:"seq"`              // the number of the command, of the frame, or of the message on its socket
	Ack       int64         `json:"ack"`              // the next frame wanted, as the client said
	Key       string        `json:"key,omitempty"`    // the Idempotency-Key of the command
	Sent      string        `json:"sent,omitempty"`   // the body
	Status    int           `json:"status,omitempty"` // 0: there was no answer
	Code      string        `json:"code,omitempty"`
	Wanted    int64         `json:"wanted"` // the next command wanted, as the server said
	Answer    string        `json:"answer,omitempty"`
	Mailbox   string        `json:"mailbox,omitempty"`
	Wrong     string        `json:"wrong,omitempty"` // what is wrong with it by itself, such as a breach of the contract
}

// String is the event on one line.
func (e *Event) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%9.3f–%.3fs %-9s %-8s %s", e.At.Seconds(), e.Done.Seconds(), e.Session, e.Transport, e.Kind)
	for _, word := range []string{e.Method, e.Path} {
		if word != "" {
			b.WriteString(" " + word)
		}
	}
	for _, number := range []struct {
		name  string
		value int64
	}{{"seq", e.Seq}, {"ack", e.Ack}} {
		if number.value != none {
			fmt.Fprintf(&b, " %s=%d", number.name, number.value)
		}
	}
	if e.Sent != "" {
		b.WriteString(" " + short(e.Sent))
	}
	if e.Kind == Request || e.Kind == Handshake {
		b.WriteString(" →")
		if e.Status == 0 {
			b.WriteString(" no answer")
		} else {
			fmt.Fprintf(&b, " %d", e.Status)
		}
	}
	if e.Code != "" {
		b.WriteString(" " + e.Code)
	}
	if e.Wanted != none {
		fmt.Fprintf(&b, " wants=%d", e.Wanted)
	}
	if e.Answer != "" {
		b.WriteString(" " + short(e.Answer))
	}
	if e.Wrong != "" {
		b.WriteString(" WRONG: " + e.Wrong)
	}
	return b.String()
}

func short(text string) string {
	const most = 160
	text = strings.TrimSpace(text)
	if len(text) > most {
		return text[:most] + "…"
	}
	return text
}

// clock measures a run.
type clock struct{ began time.Time }

func (c clock) now() time.Duration { return time.Since(c.began) }

// history is what happened to one room, or to all.
type history struct {
	clock
	mu     sync.Mutex
	events []*Event
	also   io.Writer
	lock   *sync.Mutex // of also
}

func (h *history) add(e *Event) {
	if e.Done == 0 {
		e.Done = h.now()
	}
	if e.At == 0 {
		e.At = e.Done
	}
	h.mu.Lock()
	h.events = append(h.events, e)
	h.mu.Unlock()
	if h.also == nil {
		return
	}
	line, err := json.Marshal(e)
	if err != nil {
		return
	}
	h.lock.Lock()
	defer h.lock.Unlock()
	_, _ = h.also.Write(append(line, '\n')) // a full disk is no reason to stop
}

// all are the events so far, in the order in which they ended.
func (h *history) all() []*Event {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]*Event(nil), h.events...)
}

// dice are the random choices of one purpose: those of one seed and name are always the same.
type dice struct {
	mu sync.Mutex
	r  *rand.Rand
}

func newDice(seed uint64, name string) *dice {
	h := fnv.New64a()
	_, _ = h.Write([]byte(name))                            // it never fails
	return &dice{r: rand.New(rand.NewPCG(seed, h.Sum64()))} // #nosec G404 -- it is to be repeated
}

// below is a number from 0 to n−1.
func (d *dice) below(n int) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.r.IntN(n)
}

// chance is true so many times out of a hundred.
func (d *dice) chance(percent int) bool { return d.below(100) < percent }

// between is a duration of at least low and less than high.
func (d *dice) between(low, high time.Duration) time.Duration {
	return low + time.Duration(d.below(int(high-low)))
}

func pick[T any](d *dice, from []T) T { return from[d.below(len(from))] }
