package torture

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Violation is something that happened against a rule.
type Violation struct {
	Rule    string        `json:"rule"`
	What    string        `json:"what"`
	Room    string        `json:"room"`
	Session string        `json:"session,omitempty"`
	When    time.Duration `json:"when"`
	History []string      `json:"history,omitempty"` // the shortest that was found
	Excused string        `json:"excused,omitempty"` // why it was to be expected; empty: it was not
}

// The rules, in the words of a report.
const (
	ruleContract   = "answers are within the contract"
	ruleInternal   = "the server makes no mistake of its own"
	ruleOnce       = "a command is done once, and its reply is always the same"
	ruleWanted     = "the server's ack never goes backwards, and never says what is not committed"
	ruleSurvives   = "a session survives until it ends by its own will"
	ruleHandshake  = "a client that says where it stands is let in"
	ruleRewound    = "an acknowledgement counts at once for the process that answered it"
	ruleEpochs     = "each handshake has an epoch of its own"
	ruleFrames     = "a frame always has the same number and the same bytes"
	ruleDense      = "frames come in order and without a gap"
	ruleDelivered  = "each message is delivered once, and in order"
	ruleLog        = "the log is the same for all readers"
	ruleKept       = "nothing acknowledged is lost"
	ruleTwo        = "at most two sides"
	ruleNotPruned  = "what is in use is not pruned"
	ruleServed     = "clients are served again once the faults are over"
	ruleUsage      = "one usage record for each retired thing"
	ruleNothing    = "nothing is left over"
	ruleWoken      = "news wakes who waits for it"
	ruleStops      = "the server stops when it is told to"
	ruleNameplates = "a nameplate is never two pairs'"
)

// checker looks at the history of one room.
type checker struct {
	room     string
	events   []*Event
	faults   []*Event
	replicas int
	found    []Violation
}

// check returns what is against the rules in the history of one room. It depends on nothing else.
func check(room string, events, faults []*Event, replicas int) []Violation {
	c := &checker{room: room, events: events, faults: faults, replicas: replicas}
	bySession := map[string][]*Event{}
	for _, e := range events {
		if e.Session != "" {
			bySession[e.Session] = append(bySession[e.Session], e)
		}
		if e.Wrong != "" {
			c.wrong(e)
		}
	}
	for session, own := range bySession {
		c.answers(own)
		c.codes(own)
		c.wanted(own)
		c.frames(own)
		c.handshakes(own)
		_ = session
	}
	c.log(bySession)
	slices.SortStableFunc(c.found, func(a, b Violation) int { return cmp.Compare(a.When, b.When) })
	return c.found
}

func (c *checker) report(rule string, e *Event, format string, args ...any) {
	c.found = append(c.found, Violation{Rule: rule, What: fmt.Sprintf(format, args...), Room: c.room, Session: e.Session, When: e.Done})
}

// wrong reports an event that is wrong by itself.
func (c *checker) wrong(e *Event) {
	rule, what, named := strings.Cut(e.Wrong, ": ")
	if e.Kind != Note || !named {
		rule, what = ruleContract, e.Wrong
	}
	c.report(rule, e, "%s %s: %s", e.Method, e.Path, what)
}

// canonical is a JSON text without what does not matter.
func canonical(text string) string {
	var v any
	if json.Unmarshal([]byte(text), &v) != nil {
		return text
	}
	b, err := json.Marshal(v)
	if err != nil {
		return text
	}
	return string(b)
}

// answers holds that the final answers to each command with a number or a key are the same.
func (c *checker) answers(own []*Event) {
	type command struct {
		seq int64
		key string
	}
	first := map[command]*Event{}
	for _, e := range own {
		which := command{e.Seq, e.Key}
		if e.Kind != Request || which == (command{seq: none}) || !final(e) {
			continue
		}
		before := first[which]
		switch {
		case before == nil:
			first[which] = e
		case before.Status != e.Status || before.Code != e.Code || e.Code == "" && canonical(before.Answer) != canonical(e.Answer):
			c.report(ruleOnce, e, "command %d%s was answered %d %s%s, and then %d %s%s", e.Seq, e.Key, before.Status, before.Code, before.Answer, e.Status, e.Code, e.Answer)
		}
	}
}

// isEnd tells whether an event is an attempt to end the session.
func isEnd(e *Event) bool {
	return e.Method == http.MethodDelete && (e.Path == "/v1/session" || strings.HasPrefix(e.Path, "/v1/session?"))
}

// codes holds that clients which keep the rules are refused for no reason but those there are.
func (c *checker) codes(own []*Event) {
	ended := time.Duration(1<<63 - 1)
	for _, e := range own {
		if isEnd(e) {
			ended = min(ended, e.At)
		}
	}
	for _, e := range own {
		switch e.Code {
		case "INTERNAL":
			c.report(ruleInternal, e, "%s %s was answered %s", e.Method, e.Path, e.Code)
		case "SEQ_REUSED", "REPLY_FORGOTTEN", "IDEMPOTENCY_KEY_REUSED":
			c.report(ruleOnce, e, "command %d was answered %s, and it was always the same command", e.Seq, e.Code)
		case "OUTCOME_UNKNOWN":
			if e.Seq != none || e.Key != "" {
				c.report(ruleContract, e, "command %d %s was answered %s, and it had a number or a key", e.Seq, e.Key, e.Code)
			}
		case "SESSION_UNKNOWN", "SESSION_ENDED":
			if e.Done < ended {
				c.report(ruleSurvives, e, "%s %s was answered %d %s: %s", e.Method, e.Path, e.Status, e.Code, e.Answer)
			}
		case "SIDE_TAKEN", "SESSION_IDENTITY_MISMATCH":
			c.report(ruleHandshake, e, "the side is this session's alone, and the answer is %s", e.Code)
		case "SESSION_STATE_MISMATCH":
			if e.Done < ended && !(e.Kind == Handshake && c.acknowledgedMore(own, e)) {
				c.report(ruleHandshake, e, "%s %s with ack %d was answered %s: %s", e.Method, e.Path, e.Ack, e.Code, e.Answer)
			}
		case "INVALID_REQUEST", "MALFORMED_HANDSHAKE", "NOT_ACCEPTABLE", "METHOD_NOT_ALLOWED", "UNSUPPORTED_MEDIA_TYPE":
			c.report(ruleContract, e, "a valid request, %s %s, was answered %s", e.Method, e.Path, e.Answer)
		}
	}
}

// acknowledgedMore tells whether anything sent before the end of e acknowledged more than e did.
func (c *checker) acknowledgedMore(own []*Event, e *Event) bool {
	return slices.ContainsFunc(own, func(other *Event) bool {
		return other != e && other.Ack > e.Ack && other.At <= e.Done
	})
}

// wanted holds that the next command wanted never goes backwards, as seen from outside: an answer
// that was complete before a request was sent binds the answer to that request.
func (c *checker) wanted(own []*Event) {
	type seen struct {
		*Event
		wanted int64
	}
	var all []seen
	sent := int64(none)
	for _, e := range own {
		if e.Kind == Request && e.Seq != none && e.Status >= 200 && e.Status < 300 {
			all = append(all, seen{e, max(e.Wanted, e.Seq+1)})
		} else if e.Wanted != none {
			all = append(all, seen{e, e.Wanted})
		}
		if e.Kind == Request {
			sent = max(sent, e.Seq)
		}
	}
	for _, s := range all {
		if s.wanted > sent+1 {
			c.report(ruleWanted, s.Event, "the server wants command %d, and %d is the last that was ever sent", s.wanted, sent)
		}
	}
	byStart := slices.Clone(all)
	slices.SortStableFunc(byStart, func(a, b seen) int { return cmp.Compare(a.At, b.At) })
	slices.SortStableFunc(all, func(a, b seen) int { return cmp.Compare(a.Done, b.Done) })
	var most seen
	next := 0
	for _, s := range byStart {
		for ; next < len(all) && all[next].Done < s.At; next++ {
			if most.Event == nil || all[next].wanted > most.wanted {
				most = all[next]
			}
		}
		if most.Event != nil && s.Wanted != none && s.Wanted < most.wanted {
			c.report(ruleWanted, s.Event, "the server wants command %d, and said %d before, in answer to %s %s", s.Wanted, most.wanted, most.Method, most.Path)
		}
	}
}

// frames holds that a number is always the same frame's, and that each answer has them densely from where it was asked to.
func (c *checker) frames(own []*Event) {
	bytes := map[int64]*Event{}
	next := map[int64]int64{}
	for _, e := range own {
		if e.Kind != Frame {
			continue
		}
		if before := bytes[e.Seq]; before == nil {
			bytes[e.Seq] = e
		} else if before.Answer != e.Answer {
			c.report(ruleFrames, e, "frame %d was %s, and then %s", e.Seq, before.Answer, e.Answer)
		}
		expected, begun := next[e.Conn]
		if !begun {
			expected = e.Ack
		}
		if e.Seq != expected {
			c.report(ruleDense, e, "frame %d came, want %d (asked from %d)", e.Seq, expected, e.Ack)
		}
		next[e.Conn] = e.Seq + 1
	}
}

// handshakes holds that epochs are given once, and that what this process acknowledged counts.
func (c *checker) handshakes(own []*Event) {
	epochs := map[int64]bool{}
	for _, e := range own {
		if e.Kind != Handshake || e.Status != 200 && e.Status != 201 {
			continue
		}
		var reply struct{ Epoch int64 }
		if json.Unmarshal([]byte(e.Answer), &reply) == nil {
			if epochs[reply.Epoch] {
				c.report(ruleEpochs, e, "epoch %d was given twice", reply.Epoch)
			}
			epochs[reply.Epoch] = true
		}
		for _, other := range own {
			if c.replicas == 1 && other.Kind == Request && other.Status == 200 && other.Ack > e.Ack && other.Done < e.At &&
				!c.restarted(other.At, e.Done) && other.Transport != Socket {
				c.report(ruleRewound, e, "the handshake wants frame %d, and was accepted after %s %s had acknowledged %d", e.Ack, other.Method, other.Path, other.Ack)
				break
			}
		}
	}
}

// restarted tells whether a server may have forgotten what it had not written down, in a span of time.
func (c *checker) restarted(from, to time.Duration) bool {
	return slices.ContainsFunc(c.faults, func(f *Event) bool {
		return slices.Contains([]string{"kill", "restart"}, f.Transport) && f.At <= to && f.Done >= from
	})
}
