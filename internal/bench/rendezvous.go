package bench

import (
	"context"
	"fmt"
	"time"
)

// phases is how many messages each side sends, as a wormhole client does: pake, version, and one more.
var phases = []string{"pake", "version", "0"}

// rendezvous makes each pair meet, talk and part, one time after the other.
func (l *load) rendezvous(ctx context.Context) error {
	l.start()
	l.shown.say("meeting")
	return l.together(ctx, func(ctx context.Context, pair int) error {
		var t tally
		defer l.all.merge(&t)
		for n := 0; !l.over(); n++ {
			began := time.Now()
			if err := l.meet(ctx, fmt.Sprintf("%d-%d", pair, n)); err != nil {
				return err
			}
			l.done(&t, began)
		}
		return nil
	})
}

// meet makes a pair connect, meet, talk and part.
func (l *load) meet(ctx context.Context, name string) error {
	a, b, err := l.pair(ctx, name)
	if err != nil {
		return err
	}
	defer a.hangUp()
	defer b.hangUp()
	nameplate, err := a.allocate()
	if err != nil {
		return err
	}
	for _, step := range []func() error{
		func() error { return a.open("") },
		func() error { return b.claim(nameplate) },
		func() error { return b.open("") },
		func() error { return l.exchange(a, b, name) },
		a.release, b.release, a.end, b.end,
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// exchange makes both sides send and receive all phases.
func (l *load) exchange(a, b party, name string) error {
	for _, phase := range phases {
		for _, way := range [][2]party{{a, b}, {b, a}} {
			from, to := way[0], way[1]
			if err := from.add(phase, phase+" of "+name); err != nil {
				return err
			}
			got, err := to.receive()
			if err != nil {
				return err
			}
			if got != phase+" of "+name {
				l.wrong("%q was to come, and %q came", phase+" of "+name, got)
			}
		}
	}
	return nil
}
