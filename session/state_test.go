package session_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"restante/session"
)

// The sessions below were seen last at seen. They are lost 50 s later, and their
// grace of 10 m runs out at 650 s.
var (
	seen   = time.UnixMilli(1_000_000)
	timing = session.Timing{HeartbeatInterval: 25 * time.Second, HeartbeatsUntilDead: 2}
	record = session.Record{Ledger: ledger, Epoch: 4, Seen: seen, Grace: 10 * time.Minute, Used: true}
)

const (
	maxSeq = session.Seq(1<<53 - 1) // the largest number that every JSON reader holds exactly
	slack  = time.Minute            // how far the stored sign of life may lag behind the true one
)

// after is a moment, counted from when the client was last seen.
func after(d time.Duration) time.Time { return seen.Add(d) }

func sparing(until time.Time) session.Timing {
	t := timing
	t.BootGraceUntil = until
	return t
}

func buried(at time.Time, why session.Reason) session.Record {
	r := record
	r.Ended = &session.Ending{At: at, Reason: why}
	return r
}

// TestRecordState is the diagram of the package's documentation at its exact
// boundaries: a deadline is past when it has come.
func TestRecordState(t *testing.T) {
	const (
		lost  = 50 * time.Second
		grace = 10 * time.Minute
		ms    = time.Millisecond
	)
	tests := map[string]struct {
		record session.Record
		at     time.Time
		timing session.Timing
		want   string
		until  time.Time // a Detached's
		ended  session.Ending
	}{
		"seen right now":                {record, after(0), timing, "attached", time.Time{}, session.Ending{}},
		"seen by a clock that is ahead": {record, after(-time.Hour), timing, "attached", time.Time{}, session.Ending{}},
		"a millisecond before the loss": {record, after(lost - ms), timing, "attached", time.Time{}, session.Ending{}},
		"at the loss":                   {record, after(lost), timing, "detached", after(lost + grace), session.Ending{}},
		"a millisecond before the end":  {record, after(lost + grace - ms), timing, "detached", after(lost + grace), session.Ending{}},
		"at the end":                    {record, after(lost + grace), timing, "closed", time.Time{}, session.Ending{At: after(lost + grace), Reason: session.Expired}},
		"long after the end":            {record, after(24 * time.Hour), timing, "closed", time.Time{}, session.Ending{At: after(lost + grace), Reason: session.Expired}},

		"spared at the end":               {record, after(lost + grace), sparing(after(time.Hour)), "detached", after(time.Hour), session.Ending{}},
		"spared to the last millisecond":  {record, after(time.Hour - ms), sparing(after(time.Hour)), "detached", after(time.Hour), session.Ending{}},
		"spared no longer":                {record, after(time.Hour), sparing(after(time.Hour)), "closed", time.Time{}, session.Ending{At: after(time.Hour), Reason: session.Expired}},
		"spared until before its own end": {record, after(lost + grace - ms), sparing(after(lost)), "detached", after(lost + grace), session.Ending{}},
		"spared until its own end":        {record, after(lost + grace), sparing(after(lost + grace)), "closed", time.Time{}, session.Ending{At: after(lost + grace), Reason: session.Expired}},
		"sparing hides no loss":           {record, after(lost), sparing(after(time.Hour)), "detached", after(time.Hour), session.Ending{}},

		"without a grace, before the loss": {session.Record{Seen: seen}, after(lost - ms), timing, "attached", time.Time{}, session.Ending{}},
		"without a grace, at the loss":     {session.Record{Seen: seen}, after(lost), timing, "closed", time.Time{}, session.Ending{At: after(lost), Reason: session.Expired}},

		"ended, though seen right now":    {buried(after(1), session.Deleted), after(0), timing, "closed", time.Time{}, session.Ending{At: after(1), Reason: session.Deleted}},
		"ended, though within its grace":  {buried(after(1), session.Overflow), after(lost), timing, "closed", time.Time{}, session.Ending{At: after(1), Reason: session.Overflow}},
		"ended, and would have expired":   {buried(after(1), session.Replaced), after(time.Hour), timing, "closed", time.Time{}, session.Ending{At: after(1), Reason: session.Replaced}},
		"ended, and nothing is to expire": {buried(after(1), session.Expired), after(0), sparing(after(time.Hour)), "closed", time.Time{}, session.Ending{At: after(1), Reason: session.Expired}},
		"ended at a time that is to come": {buried(after(time.Hour), session.Deleted), after(0), timing, "closed", time.Time{}, session.Ending{At: after(time.Hour), Reason: session.Deleted}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			switch state := test.record.State(test.at, test.timing).(type) {
			case session.Attached:
				if test.want != "attached" {
					t.Fatalf("attached, want %s", test.want)
				}
				if diff := cmp.Diff(test.record, state.Record()); diff != "" {
					t.Errorf("the record of its state (-was +is):\n%s", diff)
				}
			case session.Detached:
				if test.want != "detached" {
					t.Fatalf("detached, want %s", test.want)
				}
				if !state.Until.Equal(test.until) {
					t.Errorf("detached until %v, want until %v", state.Until, test.until)
				}
				if !state.Until.Equal(test.record.Deadline(test.timing)) {
					t.Errorf("detached until %v, and its deadline is %v", state.Until, test.record.Deadline(test.timing))
				}
			case session.Closed:
				if test.want != "closed" {
					t.Fatalf("closed, want %s", test.want)
				}
				want := session.Closed{Ending: test.ended, Ledger: test.record.Ledger, Epoch: test.record.Epoch, Used: test.record.Used}
				if diff := cmp.Diff(want, state); diff != "" {
					t.Errorf("closed (-want +got):\n%s", diff)
				}
			}
		})
	}
}

func TestDeadline(t *testing.T) {
	own := after(650 * time.Second)
	tests := map[string]struct {
		timing session.Timing
		want   time.Time
	}{
		"silence and grace after the last sign of life": {timing, own},
		"spared for longer":                             {sparing(own.Add(1)), own.Add(1)},
		"spared for exactly as long":                    {sparing(own), own},
		"spared for less":                               {sparing(own.Add(-1)), own},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := record.Deadline(test.timing); !got.Equal(test.want) {
				t.Errorf("%v, want %v", got, test.want)
			}
		})
	}
}

// state is the record's state, which the test knows.
func state[S session.State](t *testing.T, r session.Record, at time.Time) S {
	t.Helper()
	s, is := r.State(at, timing).(S)
	if !is {
		t.Fatalf("it is %T, want %T", r.State(at, timing), s)
	}
	return s
}

// TestTransitions walks every arrow of the diagram.
func TestTransitions(t *testing.T) {
	now := after(2 * time.Minute)
	t.Run("a handshake opens", func(t *testing.T) {
		want := session.Record{Epoch: 1, Seen: now, Grace: time.Hour}
		if diff := cmp.Diff(want, session.Open(now, time.Hour).Record()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
	t.Run("silence detaches", func(t *testing.T) {
		lost := state[session.Attached](t, record, seen).Detach(now)
		if !lost.Until.Equal(now.Add(10 * time.Minute)) {
			t.Errorf("until %v", lost.Until)
		}
	})
	t.Run("a sign of life attaches again, and changes nothing else", func(t *testing.T) {
		want := record
		want.Seen = now
		if diff := cmp.Diff(want, state[session.Detached](t, record, now).Resume(now).Record()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
	t.Run("the last millisecond of the grace is time enough", func(t *testing.T) {
		last := after(650*time.Second - time.Millisecond)
		back := state[session.Detached](t, record, last).Resume(last).Record()
		state[session.Attached](t, back, last)
		state[session.Attached](t, back, last.Add(50*time.Second-time.Millisecond))
		state[session.Detached](t, back, last.Add(50*time.Second))
	})
	t.Run("the grace runs out when it runs out, whenever that is noticed", func(t *testing.T) {
		detached := state[session.Detached](t, record, now)
		if diff := cmp.Diff(state[session.Closed](t, record, after(time.Hour)), detached.Expire()); diff != "" {
			t.Errorf("(-by reading +by transition):\n%s", diff)
		}
	})
	for name, closed := range map[string]session.Closed{
		"an attached session is closed": state[session.Attached](t, record, seen).Close(now, session.Deleted),
		"a detached session is closed":  state[session.Detached](t, record, now).Close(now, session.Deleted),
	} {
		t.Run(name, func(t *testing.T) {
			want := session.Closed{Ending: session.Ending{At: now, Reason: session.Deleted}, Ledger: ledger, Epoch: 4, Used: true}
			if diff := cmp.Diff(want, closed); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			for _, later := range []time.Duration{-time.Hour, 0, time.Hour} {
				if diff := cmp.Diff(want, state[session.Closed](t, closed.Record(), now.Add(later))); diff != "" {
					t.Errorf("what is stored of it, %v later (-want +got):\n%s", later, diff)
				}
			}
		})
	}
}

func TestReceive(t *testing.T) {
	tests := map[string]struct {
		n    session.Seq
		want session.Receipt
	}{
		"the first of all":   {0, session.Repeated{}},
		"the last one again": {4, session.Repeated{}},
		"one too early":      {6, session.Missing{Expected: 5}},
		"far too early":      {maxSeq, session.Missing{Expected: 5}},
		"a negative number":  {-1, session.Repeated{}},
	}
	unused := record
	unused.Used = false
	a := state[session.Attached](t, unused, seen)
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := a.Receive(test.n); got != test.want {
				t.Errorf("%#v, want %#v", got, test.want)
			}
		})
	}
	t.Run("the one that is wanted", func(t *testing.T) {
		accepted, is := a.Receive(5).(session.Accepted)
		if !is {
			t.Fatalf("%#v, want Accepted", a.Receive(5))
		}
		want := unused
		want.Wanted, want.Used = 6, true
		if diff := cmp.Diff(want, accepted.Attached.Record()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if got := accepted.Attached.Receive(5); got != (session.Repeated{}) {
			t.Errorf("the same again: %#v", got)
		}
		if diff := cmp.Diff(unused, a.Record()); diff != "" {
			t.Errorf("the old value has changed (-was +is):\n%s", diff)
		}
	})
}

// send numbers one frame, as a store does.
func send(a session.Attached) (session.Attached, session.Seq) {
	n := a.Next
	a.Next++
	a.Used = true
	return a, n
}

func TestAcknowledge(t *testing.T) {
	tests := map[string]struct {
		upTo session.Seq
		kept session.Seq
		err  error
	}{
		"one more":                  {4, 4, nil},
		"all that were sent":        {7, 7, nil},
		"the same again":            {3, 3, nil},
		"less than before":          {1, 3, nil},
		"nothing":                   {0, 3, nil},
		"one that was never sent":   {8, 3, session.ErrUnsent},
		"many that were never sent": {maxSeq, 3, session.ErrUnsent},
	}
	a := state[session.Attached](t, record, seen)
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			want := record
			want.Kept = test.kept
			got, err := a.Acknowledge(test.upTo)
			if !errors.Is(err, test.err) {
				t.Errorf("%v, want %v", err, test.err)
			}
			if diff := cmp.Diff(want, got.Record()); diff != "" {
				t.Errorf("acknowledged (-want +got):\n%s", diff)
			}

			// A handshake acknowledges likewise; one that is refused leaves no trace.
			if test.err == nil {
				want.Epoch, want.Seen = 5, after(time.Second)
			}
			got, err = a.Reconnect(after(time.Second), test.upTo)
			if !errors.Is(err, test.err) {
				t.Errorf("%v, want %v", err, test.err)
			}
			if diff := cmp.Diff(want, got.Record()); diff != "" {
				t.Errorf("reconnected (-want +got):\n%s", diff)
			}
		})
	}
}

// However its methods are called, a living session's ledger holds what it says
// it holds, its numbers never go back, and its states come in their order.
func TestALedgerHoldsWhatItSays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now, a := seen, session.Open(seen, time.Minute)
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			before := a
			n := session.Seq(rapid.IntRange(0, 12).Draw(t, "n"))
			switch rapid.IntRange(0, 4).Draw(t, "step") {
			case 0:
				if accepted, is := a.Receive(n).(session.Accepted); is {
					a = accepted.Attached
				}
			case 1:
				a, _ = send(a)
			case 2:
				a, _ = a.Acknowledge(n)
			case 3:
				a, _ = a.Reconnect(now, n)
			case 4:
				now = now.Add(time.Duration(rapid.IntRange(0, 99_999).Draw(t, "ms")) * time.Millisecond)
				switch s := a.Record().State(now, timing).(type) {
				case session.Attached:
					a = s
				case session.Detached:
					if !now.Before(s.Until) {
						t.Fatalf("detached until %v at %v", s.Until, now)
					}
					a = s.Resume(now)
				case session.Closed:
					if s.At.After(now) {
						t.Fatalf("expired at %v, which is after %v", s.At, now)
					}
					return
				}
			}
			if a.Kept < before.Kept || a.Next < before.Next || a.Wanted < before.Wanted || a.Epoch < before.Epoch || a.Kept > a.Next {
				t.Fatalf("%+v became %+v", before.Record(), a.Record())
			}
		}
	})
}
