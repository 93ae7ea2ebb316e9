package bench

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
)

// stream makes one side of each pair send messages to the other.
func (l *load) stream(ctx context.Context) error {
	var ready sync.WaitGroup
	ready.Add(l.Pairs)
	var once sync.Once
	return l.together(ctx, func(ctx context.Context, pair int) error {
		name := fmt.Sprintf("%d", pair)
		from, to, err := l.pair(ctx, name)
		if err == nil {
			defer from.hangUp()
			defer to.hangUp()
			if err = from.open(l.run + name); err == nil {
				err = to.open(l.run + name)
			}
		}
		ready.Done()
		if err != nil {
			return err
		}
		ready.Wait()
		once.Do(func() {
			l.start()
			l.shown.say("sending")
		})
		if err := l.send(ctx, from, to); err != nil {
			return err
		}
		if err := from.end(); err != nil {
			return err
		}
		return to.end()
	})
}

// send sends for as long as the round takes, and receives all that was sent.
func (l *load) send(ctx context.Context, from, to party) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	free := make(chan struct{}, l.InFlight)
	var sending sync.WaitGroup
	sending.Go(func() {
		if err := l.post(ctx, from, free); err != nil {
			cancel(err)
			to.hangUp() // nothing more will come
		}
	})
	err := l.collect(to, free)
	if err != nil {
		cancel(err)
	}
	sending.Wait()
	return context.Cause(ctx)
}

// post sends messages, each when there is a free place, and a last one that says how many there were.
func (l *load) post(ctx context.Context, from party, free chan<- struct{}) error {
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case free <- struct{}{}:
		}
		if l.over() {
			return from.add("end", fmt.Sprintf("end %d", n-1))
		}
		if err := from.add("talk", l.newBody(n)); err != nil {
			return err
		}
	}
}

// collect receives up to the last message, and checks each.
func (l *load) collect(to party, free <-chan struct{}) error {
	var t tally
	defer l.all.merge(&t)
	for n := 1; ; n++ {
		body, err := to.receive()
		if err != nil {
			return err
		}
		if sent, last := strings.CutPrefix(body, "end "); last {
			if sent != strconv.Itoa(n-1) {
				l.wrong("%s messages were sent, and %d came", sent, n-1)
			}
			return nil
		}
		l.read(&t, body, n)
		<-free
	}
}
