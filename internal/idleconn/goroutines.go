package idleconn

import "sync/atomic"

// maxResting is how many goroutines without work a pool keeps. The stack of one that has worked has already grown.
const maxResting = 64

// goroutines run functions without keeping the caller waiting.
type goroutines struct {
	work    chan func()
	resting atomic.Int32
	done    <-chan struct{}
}

// run runs f on a goroutine that has no work, or on a new one.
func (g *goroutines) run(f func()) {
	select {
	case g.work <- f:
	default:
		go g.loop(f)
	}
}

// loop runs f, and then what else there is, until there are enough others.
func (g *goroutines) loop(f func()) {
	for {
		f()
		if g.resting.Add(1) > maxResting {
			g.resting.Add(-1)
			return
		}
		select {
		case f = <-g.work:
			g.resting.Add(-1)
		case <-g.done:
			return
		}
	}
}
