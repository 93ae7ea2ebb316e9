package presence_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"restante/internal/presence"
	"restante/session"
)

var (
	key   = session.Key{1}
	start = time.UnixMilli(1_000_000)
)

const grace = 10 * time.Minute

func expect[T any](t *testing.T, got, want T) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestLastSeen(t *testing.T) {
	at := func(seconds int) time.Time { return start.Add(time.Duration(seconds) * time.Second) }
	tests := map[string]struct {
		do     func(*presence.Table)
		stored time.Time
		want   time.Time
	}{
		"of an unknown client, it is padded": {func(*presence.Table) {}, start, start.Add(presence.MaxLag)},
		"of a client seen here, it is exact": {func(p *presence.Table) { p.Touch(key, at(3), grace) }, time.Time{}, at(3)},
		"another process stored a later one, which is padded": {
			func(p *presence.Table) { p.Touch(key, at(3), grace) }, at(5), at(5).Add(presence.MaxLag),
		},
		"another process stored a later one, and this one has read it": {
			func(p *presence.Table) { p.Touch(key, at(3), grace); p.Stored(key, at(5)) }, at(5), at(5).Add(presence.MaxLag),
		},
		"what this process stored is not padded": {
			func(p *presence.Table) { p.Touch(key, at(3), grace); p.Stored(key, at(3)) }, at(3), at(3),
		},
		"a held poll is a sign of life at every moment": {
			func(p *presence.Table) { p.StartPoll(key, func() time.Time { return start }, grace) }, start, at(100),
		},
		"a poll that ended was seen at its end": {
			func(p *presence.Table) {
				now := at(3)
				end := p.StartPoll(key, func() time.Time { return now }, grace)
				now = at(7)
				end()
			}, time.Time{}, at(7),
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var p presence.Table
			test.do(&p)
			expect(t, p.LastSeen(key, test.stored, at(100)), test.want)
		})
	}
}

func TestAcknowledge(t *testing.T) {
	var p presence.Table
	notified := make(chan struct{}, 1)
	p.Notify(notified)
	p.Handshake(key, 2, 5, start, grace)
	for _, step := range []struct {
		epoch session.Epoch
		upTo  session.Seq
		want  bool
	}{{2, 5, true}, {1, 9, false}, {2, 4, false}, {2, 7, true}, {2, 6, false}} {
		expect(t, p.Acknowledge(key, step.epoch, step.upTo), step.want)
	}
	expect(t, p.Acked(key, 2, 6), 7)
	expect(t, p.Acked(key, 2, 8), 8)
	expect(t, p.Acked(key, 3, 6), 6)
	expect(t, len(notified), 1)
	expect(t, p.TakeAcks(), []session.Ack{{Session: key, Epoch: 2, UpTo: 7}})
	expect(t, len(p.TakeAcks()), 0)
}

func TestAnAcknowledgementThatCouldNotBeWrittenIsTakenAgain(t *testing.T) {
	var p presence.Table
	p.Handshake(key, 1, 0, start, grace)
	p.Acknowledge(key, 1, 5)
	taken := p.TakeAcks()
	p.RetakeAcks(taken)
	expect(t, p.TakeAcks(), taken)
	p.Acknowledge(key, 1, 6)
	later := p.TakeAcks()
	p.RetakeAcks(taken) // more is known since, and is written
	expect(t, len(p.TakeAcks()), 0)
	p.Handshake(key, 2, 6, start, grace)
	p.RetakeAcks(later) // nor does it count any more in another epoch
	expect(t, len(p.TakeAcks()), 0)
}

func TestAHandshakeLeavesNoOlderAcknowledgementToWrite(t *testing.T) {
	var p presence.Table
	p.Handshake(key, 1, 0, start, grace)
	p.Acknowledge(key, 1, 5)
	p.Handshake(key, 2, 3, start, grace) // it stores its own
	expect(t, len(p.TakeAcks()), 0)
	expect(t, p.Acked(key, 2, 3), 3)
}

func TestASessionThatBeginsHasNothingOfAnEarlierOneWithItsID(t *testing.T) {
	var p presence.Table
	p.Handshake(key, 3, 0, start, grace)
	p.Acknowledge(key, 3, 5)
	p.Decide(key, 3, 5)
	p.End(key)
	p.Begin(key)
	expect(t, p.LastSeen(key, start, start.Add(time.Hour)), start) // until the handshake is accepted
	p.Handshake(key, 1, 0, start, grace)
	expect(t, p.Contested(key, 1), false)
	expect(t, p.Acked(key, 1, 0), 0)
	expect(t, p.Acknowledge(key, 1, 0), true)
	expect(t, len(p.TakeAcks()), 0)
	expect(t, p.CountAttached(start, time.Minute), 1)
}

func TestAReturnedClientIsWrittenAtOnce(t *testing.T) {
	var p presence.Table
	p.Handshake(key, 1, 0, start, grace)
	p.Touch(key, start.Add(presence.MaxUnsaved), grace)
	expect(t, len(p.TakeReturned()), 0)
	back := start.Add(2 * presence.MaxLag)
	p.Touch(key, back, grace)
	expect(t, p.TakeReturned(), []presence.Sighting{{Sighting: session.Sighting{Key: key, Seen: back}, Grace: grace}})
	expect(t, len(p.TakeReturned()), 0)
}

func TestAClientIsForgottenWhenItsSessionHasExpired(t *testing.T) {
	var p presence.Table
	p.Handshake(key, 1, 0, start, grace)
	silence := 50 * time.Second
	end := start.Add(silence + grace + 2*presence.MaxLag)
	p.TakeSightings(end, 0, silence)
	expect(t, p.LastSeen(key, time.Time{}, end), start)
	p.TakeSightings(end.Add(1), 0, silence)
	expect(t, p.LastSeen(key, time.Time{}, end), time.Time{}.Add(presence.MaxLag))
}

func TestTheWindowOfCommandsIsBounded(t *testing.T) {
	var p presence.Table
	for range session.Window {
		expect(t, p.StartCommand(key), true)
	}
	expect(t, p.StartCommand(key), false)
	p.EndCommand(key)
	expect(t, p.StartCommand(key), true)
}

func TestAFullWindowIsToldOnce(t *testing.T) {
	var p presence.Table
	for _, step := range []struct{ full, tell bool }{{false, false}, {true, true}, {true, false}, {false, false}, {true, true}} {
		expect(t, p.WindowFull(key, step.full), step.tell)
	}
}

func TestAnAcknowledgementIsContestedWhileAHandshakeMayBeUnderWay(t *testing.T) {
	ack := session.Ack{Session: key, Epoch: 1, UpTo: 7}
	for _, test := range []struct {
		name      string
		do        func(p *presence.Table)
		contested bool
	}{
		{"none began", func(*presence.Table) {}, false},
		{"one has decided", func(p *presence.Table) { p.Decide(key, 1, 5) }, true},
		{"it was refused", func(p *presence.Table) { p.Decide(key, 1, 5); p.Refuse(key, 1) }, false},
		{"it is committed together with one that was refused", func(p *presence.Table) {
			p.Decide(key, 1, 5)
			p.Decide(key, 2, 5)
			p.Refuse(key, 2)
		}, true},
		{"an acknowledgement was stored after it", func(p *presence.Table) {
			p.Decide(key, 1, 5)
			p.Settle(session.Ack{Session: key, Epoch: 1, UpTo: 6}, p.LatestDecision(key))
		}, false},
		{"another has decided since an acknowledgement was stored", func(p *presence.Table) {
			p.Decide(key, 1, 5)
			latest := p.LatestDecision(key)
			p.Decide(key, 1, 6)
			p.Settle(session.Ack{Session: key, Epoch: 1, UpTo: 6}, latest)
		}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			var p presence.Table
			p.Handshake(key, 1, 5, start, grace)
			test.do(&p)
			expect(t, p.Contested(key, 1), test.contested)
			expect(t, p.Acknowledge(key, ack.Epoch, ack.UpTo), !test.contested)
			p.Handshake(key, 3, 7, start, grace)
			expect(t, p.Contested(key, 3), false)
			expect(t, p.Acknowledge(key, 3, 8), true)
		})
	}
}

func TestASettledAcknowledgementIsNotWrittenAgain(t *testing.T) {
	var p presence.Table
	p.Handshake(key, 1, 0, start, grace)
	p.Acknowledge(key, 1, 5)
	expect(t, p.Decide(key, 1, 3), 5)
	expect(t, p.Settle(session.Ack{Session: key, Epoch: 1, UpTo: 6}, p.LatestDecision(key)), true)
	expect(t, p.Acked(key, 1, 5), 6)
	expect(t, len(p.TakeAcks()), 0)
	expect(t, p.Settle(session.Ack{Session: key, Epoch: 1, UpTo: 5}, p.LatestDecision(key)), false)
}

func TestAHandshakeThatWasNotAcceptedIsForgotten(t *testing.T) {
	var p presence.Table
	p.Decide(key, 1, 0)
	p.TakeSightings(start, 0, time.Minute) // it may still be under way
	expect(t, p.Contested(key, 1), true)
	p.TakeSightings(start, 0, time.Minute)
	expect(t, p.Contested(key, 1), false)
}
