package bench

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// maxPerSide is how many nameplates a session takes beforehand: what a server lets a side hold.
const maxPerSide = 16

// allocate makes clients allocate nameplates and release them, while others are taken.
func (l *load) allocate(ctx context.Context) error {
	l.shown.say("taking")
	if err := l.take(ctx); err != nil {
		return err
	}
	var ready sync.WaitGroup
	ready.Add(l.Pairs)
	var once sync.Once
	return l.together(ctx, func(ctx context.Context, client int) error {
		var t tally
		defer l.all.merge(&t)
		p, err := l.join(ctx, fmt.Sprintf("c%d", client))
		ready.Done()
		if err != nil {
			return err
		}
		defer func() { p.hangUp() }()
		ready.Wait()
		once.Do(func() {
			l.start()
			l.shown.say("allocating")
		})
		for n := 0; !l.over(); n++ {
			began := time.Now()
			if _, err := p.allocate(); err != nil {
				return err
			}
			l.done(&t, began)
			if err := p.release(); err != nil {
				return err
			}
			if err := p.leave(); err != nil {
				return err
			}
			if l.Protocol != "wormhole" {
				continue
			}
			p.hangUp() // a wormhole client allocates once in its life
			if p, err = l.join(ctx, fmt.Sprintf("c%d-%d", client, n)); err != nil {
				return err
			}
		}
		return nil
	})
}

// take claims the nameplates that are to be taken beforehand, and holds them.
func (l *load) take(ctx context.Context) error {
	each := 1
	if l.Protocol != "wormhole" {
		each = maxPerSide
	}
	holders := make(chan int)
	go func() {
		defer close(holders)
		for first := 0; first < l.Taken; first += each {
			select {
			case holders <- first:
			case <-ctx.Done():
				return
			}
		}
	}()
	return l.together(ctx, func(ctx context.Context, _ int) error {
		for first := range holders {
			if err := l.hold(ctx, first, min(each, l.Taken-first)); err != nil {
				return err
			}
		}
		return nil
	})
}

// hold makes a client claim nameplates and leave without releasing them.
func (l *load) hold(ctx context.Context, first, nameplates int) error {
	p, err := l.join(ctx, fmt.Sprintf("t%d", first))
	if err != nil {
		return err
	}
	defer p.hangUp()
	for range nameplates {
		if _, err := p.allocate(); err != nil {
			return err
		}
		l.shown.add(1)
	}
	return nil
}
