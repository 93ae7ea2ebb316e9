// Package workers runs functions on goroutines that it uses again. The stack of a goroutine that has worked has grown to
// the size that such work needs; that of a new one is copied for each step on the way there.
//
// The package does not know what the functions do, and imports the standard library only.
package workers

import "sync/atomic"

// Pool runs functions, each on a goroutine. [NewPool] makes one.
type Pool struct {
	work    chan func()
	most    int32
	resting atomic.Int32
	done    <-chan struct{}
}

// NewPool returns a pool that keeps at most so many goroutines that have nothing to do. They end when done is closed.
func NewPool(most int, done <-chan struct{}) *Pool {
	return &Pool{work: make(chan func()), most: int32(most), done: done} // #nosec G115 -- a few
}

// Run runs f on a goroutine that has nothing to do, or on a new one. It does not block.
func (p *Pool) Run(f func()) {
	select {
	case p.work <- f:
	default:
		go p.loop(f)
	}
}

// loop runs f, and then what else there is, until enough others have nothing to do.
func (p *Pool) loop(f func()) {
	for {
		f()
		if p.resting.Add(1) > p.most {
			p.resting.Add(-1)
			return
		}
		select {
		case f = <-p.work:
			p.resting.Add(-1)
		case <-p.done:
			return
		}
	}
}
