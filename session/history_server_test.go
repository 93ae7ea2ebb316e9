package session_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"restante/session"
)

// server is what a server does with the values of this package, its store and its memory.
type server struct {
	*history
	kept    stored
	commits []stored // the last few, before the present one

	// What a restart loses.
	heard  map[session.Key]time.Time
	acked  map[session.Key]acknowledged
	timing session.Timing
}

type acknowledged struct {
	epoch session.Epoch
	upTo  session.Seq
}

// stored is what outlives the process.
type stored struct {
	rows  map[session.Key]*row
	truth map[session.Key]*truth
	begun int
}

type row struct {
	session.Record
	begun   int
	outbox  map[session.Seq]string
	replies map[session.Seq]string
	// quiet tells that commits were lost and the client has not shaken hands since. No frame
	// is numbered then: if others took the lost ones' numbers first, no counter could tell.
	quiet bool
	asked bool // its client asked for something: nothing is sent to a session before
}

// truth is everything that was ever executed and sent under a key.
type truth struct{ commands, frames []string }

func (s stored) clone() stored {
	c := stored{rows: map[session.Key]*row{}, truth: map[session.Key]*truth{}, begun: s.begun}
	for k, r := range s.rows {
		copied := *r
		copied.outbox, copied.replies = maps.Clone(r.outbox), maps.Clone(r.replies)
		c.rows[k] = &copied
	}
	for k, t := range s.truth {
		c.truth[k] = &truth{slices.Clone(t.commands), slices.Clone(t.frames)}
	}
	return c
}

// commit remembers how everything was before it is changed.
func (s *server) commit() {
	if s.lossy {
		s.commits = append(s.commits, s.kept.clone())
		s.commits = s.commits[max(0, len(s.commits)-4):]
	}
}

func (s *server) truth(k session.Key) *truth {
	if s.kept.truth[k] == nil {
		s.kept.truth[k] = &truth{}
	}
	return s.kept.truth[k]
}

func (s *server) restart(sparing bool) {
	s.tell("the server starts")
	s.met["restart"]++
	s.heard, s.acked = map[session.Key]time.Time{}, map[session.Key]acknowledged{}
	s.timing = timing
	if sparing {
		s.timing.BootGraceUntil = s.now.Add(spare)
	}
}

// loseCommits is a power failure of a server that does not wait for its disk.
// Every connection breaks, and so the client shakes hands again.
func (s *server) loseCommits() {
	if len(s.commits) == 0 {
		return
	}
	n := s.draw(len(s.commits))
	s.met["lost commits"]++
	s.tell("the server loses its last %d commits", len(s.commits)-n)
	s.kept, s.commits, s.lost = s.commits[n], nil, true
	for _, r := range s.kept.rows {
		r.quiet = true
	}
	s.restart(true)
	s.net = nil
	s.client.attached = false
	clear(s.client.waiting)
}

// state returns the state of what is stored. The client may have been alive a little later than that
// says.
func (s *server) state(k session.Key, r *row) session.State {
	record := r.Record
	if heard, is := s.heard[k]; is {
		record.Seen = heard
	} else {
		record.Seen = record.Seen.Add(slack)
	}
	state := record.State(s.now, s.timing)
	silent := s.now.Sub(s.alive[k])
	if closed, is := state.(session.Closed); is && closed.Reason == session.Expired && silent < s.timing.Silence()+r.Grace && !s.lost {
		s.violated("expired after %v of silence", silent)
	}
	if _, is := state.(session.Attached); !is && r.Ended == nil && silent < s.timing.Silence() && !s.lost {
		s.violated("%T after %v of silence", state, silent)
	}
	return state
}

// attach returns the session as a request of its client finds it.
func (s *server) attach(k session.Key) (session.Attached, *row, bool) {
	r := s.kept.rows[k]
	if r == nil {
		return session.Attached{}, nil, false
	}
	switch state := s.state(k, r).(type) {
	case session.Attached:
		s.hear(k)
		return state, r, true
	case session.Detached:
		s.met["came back"]++
		s.hear(k)
		return state.Resume(s.now), r, true
	}
	return session.Attached{}, nil, false
}

// hear records a sign of life. It is stored later, unless the stored one would lag by more than the
// slack. A reader after a crash relies on that.
func (s *server) hear(k session.Key) {
	s.heard[k], s.alive[k] = s.now, s.now
	if r := s.kept.rows[k]; r != nil && s.now.Sub(r.Seen) > slack {
		r.Seen = s.now
	}
}

// store stores the record of a session whose client was just heard of.
func (r *row) store(a session.Attached) {
	r.Record = a.Record()
	maps.DeleteFunc(r.outbox, func(n session.Seq, _ string) bool { return n < a.Kept })
}

func (s *server) serve(request any) any {
	switch r := request.(type) {
	case hello:
		return s.shake(r.Hello)
	case poll:
		return s.answer(r)
	case command:
		return s.do(r)
	}
	panic("unreachable")
}

func (s *server) held(k session.Key) session.Stored {
	r := s.kept.rows[k]
	if r == nil {
		return session.Nothing{}
	}
	switch state := s.state(k, r).(type) {
	case session.Attached:
		return session.Live{App: "app", Side: "side", Ledger: state.Ledger, Epoch: r.Epoch}
	case session.Detached:
		return session.Live{App: "app", Side: "side", Ledger: state.Ledger, Epoch: r.Epoch}
	case session.Closed:
		if state.Used {
			return session.Tombstone{App: "app", Side: "side", Closed: state}
		}
	}
	return session.Nothing{}
}

// owner returns the session that began last, if it did something.
func (s *server) owner() *session.Key {
	var owner *session.Key
	for k, r := range s.kept.rows {
		if owner == nil || r.begun > s.kept.rows[*owner].begun {
			owner = &k
		}
	}
	if owner == nil {
		return nil
	}
	if _, is := s.held(*owner).(session.Nothing); is {
		return nil
	}
	return owner
}

func (s *server) shake(h session.Hello) any {
	facts := session.Facts{Stored: s.held(h.Key), Replaced: session.Nothing{}, Owner: s.owner()}
	if h.Replaces != nil {
		facts.Replaced = s.held(*h.Replaces)
	}
	switch d := s.decide(h, facts).(type) {
	case session.Resume:
		s.met["Resume"]++
		a, r, is := s.attach(h.Key)
		if !is {
			return failure("resumed what is not there")
		}
		s.commit()
		next, err := a.Reconnect(s.now, d.From)
		if err != nil {
			return failure(err.Error())
		}
		r.store(next)
		r.quiet = false
		s.acked[h.Key] = acknowledged{next.Epoch, d.From}
		return welcome{resumed: true, epoch: next.Epoch}
	case session.Replace:
		s.met["Replace"]++
		s.commit()
		s.bury(d.Old, session.Replaced)
		return s.start(h, true)
	case session.Start:
		s.met["Start"]++
		if d.TakesOver {
			s.met["Start over"]++
		}
		s.commit()
		return s.start(h, d.TakesOver)
	case session.Reject:
		_, live := facts.Stored.(session.Live)
		switch why, _, _ := strings.Cut(d.Detail, " what"); {
		case live:
			why, _, _ = strings.Cut(why, ":")
			s.met["live: "+why]++
		case d.Ended != nil:
			s.met["tombstone"]++
		default:
			s.met["nothing"]++
		}
		return refused{d, live}
	}
	panic("unreachable")
}

func (s *server) start(h session.Hello, used bool) any {
	for k, r := range s.kept.rows {
		// An expired session of this side makes way.
		if r.Ended == nil {
			if _, is := s.state(k, r).(session.Closed); !is {
				s.violated("a second session lives on this side")
			}
			s.bury(k, session.Expired)
		}
	}
	s.hear(h.Key)
	s.kept.begun++
	record := session.Open(s.now, 10*time.Minute).Record()
	record.Used = used
	s.kept.rows[h.Key] = &row{Record: record, begun: s.kept.begun, outbox: map[session.Seq]string{}, replies: map[session.Seq]string{}}
	s.acked[h.Key] = acknowledged{epoch: 1}
	return welcome{epoch: 1}
}

// bury ends a session. It leaves a tombstone if it did something.
func (s *server) bury(k session.Key, why session.Reason) {
	r := s.kept.rows[k]
	var closed session.Closed
	switch state := s.state(k, r).(type) {
	case session.Attached:
		closed = state.Close(s.now, why)
	case session.Detached:
		closed = state.Close(s.now, why)
	case session.Closed:
		closed = state
	}
	if !closed.Used {
		delete(s.kept.rows, k)
		return
	}
	r.Record, r.outbox, r.replies = closed.Record(), nil, nil
}

// acknowledge records an acknowledgement, to be stored later. It returns false if a higher one is
// known.
func (s *server) acknowledge(k session.Key, a session.Attached, upTo session.Seq) bool {
	known := s.acked[k]
	if known.epoch != a.Epoch {
		known = acknowledged{a.Epoch, a.Kept}
	}
	if upTo < max(known.upTo, a.Kept) {
		return false
	}
	s.acked[k] = acknowledged{a.Epoch, upTo}
	return true
}

func (s *server) answer(p poll) any {
	a, r, is := s.attach(p.Key)
	switch {
	case !is:
		return gone{}
	case p.epoch == 0: // it does not say
	case p.epoch < a.Epoch:
		s.met["superseded"]++
		return outdated{}
	case p.epoch > a.Epoch:
		return gone{} // it did nothing then, was forgotten, and has begun again
	}
	if _, err := a.Acknowledge(p.ack); err != nil {
		return gone{mismatch: true}
	}
	if !s.acknowledge(p.Key, a, p.ack) {
		s.met["superseded"]++
		return outdated{}
	}
	r.asked = true
	f := frames{first: p.ack}
	for n := p.ack; n < a.Next && len(f.texts) < 3; n++ {
		text, is := r.outbox[n]
		if !is {
			return failure(fmt.Sprintf("frame %d is not held", n))
		}
		f.texts = append(f.texts, text)
	}
	return f
}

func (s *server) do(c command) any {
	a, r, is := s.attach(c.Key)
	if !is {
		return gone{}
	}
	if _, err := a.Acknowledge(c.ack); err != nil {
		return gone{mismatch: true}
	}
	s.acknowledge(c.Key, a, c.ack)
	r.asked = true
	switch receipt := a.Receive(c.n).(type) {
	case session.Accepted:
		s.met["done"]++
		s.commit()
		done := s.truth(c.Key)
		done.commands = append(done.commands, c.text)
		if issued := s.issued[c.Key]; len(done.commands) > len(issued) || !slices.Equal(done.commands, issued[:len(done.commands)]) {
			s.violated("commands %q were given, and done were %q", issued, done.commands)
		}
		r.store(receipt.Attached)
		r.replies[c.n] = replyTo(c.text)
		delete(r.replies, c.n-session.Window)
		return answer{replyTo(c.text)}
	case session.Repeated:
		s.met["repeated"]++
		text, is := r.replies[c.n]
		if !is {
			return failure("its reply is forgotten")
		}
		return answer{text}
	case session.Missing:
		s.met["missing"]++
		return gap{receipt.Expected}
	}
	panic("unreachable")
}

// publish numbers a frame for the session that has the side, if one lives.
func (s *server) publish() {
	owner := s.owner()
	if owner == nil {
		return
	}
	r := s.kept.rows[*owner]
	if r.quiet || !r.asked || r.Ended != nil {
		return
	}
	text := fmt.Sprintf("f%d", s.id())
	switch a := s.state(*owner, r).(type) {
	case session.Attached:
		s.commit()
		sent, n := send(a)
		r.Next, r.Used = sent.Next, sent.Used
		r.outbox[n] = text
	case session.Detached:
		// An outbox numbers frames whether a client is present or not.
		s.commit()
		r.outbox[r.Next] = text
		r.Next++
		r.Used = true
	case session.Closed:
		return
	}
	s.tell("the server numbers frame %d", r.Next-1)
	t := s.truth(*owner)
	t.frames = append(t.frames, text)
}

// writeAcks stores the acknowledgements.
func (s *server) writeAcks() {
	s.commit()
	for k, acked := range s.acked {
		r := s.kept.rows[k]
		if r == nil || r.Ended != nil || r.Epoch != acked.epoch {
			continue
		}
		if a, is := r.State(r.Seen, s.timing).(session.Attached); is {
			a, err := a.Acknowledge(acked.upTo)
			if err != nil {
				s.violated("%v", err)
				return
			}
			r.store(a)
		}
	}
	clear(s.acked)
}

// writeSightings stores the signs of life that are not stored and older than the slack.
func (s *server) writeSightings() {
	for k, heard := range s.heard {
		r := s.kept.rows[k]
		if r != nil && r.Ended == nil && s.now.Sub(r.Seen) >= slack && heard.After(r.Seen) {
			r.Seen = heard
		}
	}
}

// sweep stores the ends of sessions that expired, and forgets tombstones.
func (s *server) sweep() {
	s.tell("the server sweeps")
	s.commit()
	for k, r := range s.kept.rows {
		closed, is := s.state(k, r).(session.Closed)
		switch {
		case !is:
		case r.Ended == nil:
			s.met["expired"]++
			s.bury(k, session.Expired)
		case s.now.Sub(closed.At) >= tombstoneTTL:
			delete(s.kept.rows, k)
		}
	}
}
