package handlers

import (
	"context"
	"math"
	"sync"
	"time"
)

const (
	// refusalDelay is by how much longer a refusal takes for each one that there was lately: a client that goes on is
	// answered ever later.
	refusalDelay = time.Millisecond
	// maxRefusalDelay is how long a refusal takes at most.
	maxRefusalDelay = 2 * time.Second
	// refusalMemory is the time in which two thirds of the refusals are forgotten.
	refusalMemory = 10 * time.Second
	// freeRefusals are answered at once.
	freeRefusals = 20
	// heldRefusals is how many refusals of an address wait at a time. Those beyond are answered at once, and their
	// connections closed.
	heldRefusals = 256
)

// patience knows how often an address, or the network around it, was refused lately.
type patience struct {
	mu      sync.Mutex
	refused float64
	at      time.Time
	held    int
}

// delay counts a refusal and returns how long it takes, or false if too many wait. end must be called after it.
func (p *patience) delay(now time.Time) (d time.Duration, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if past := now.Sub(p.at); past > 0 {
		p.refused *= math.Exp(-past.Seconds() / refusalMemory.Seconds())
	}
	p.refused++
	p.at = now
	if p.refused <= freeRefusals {
		return 0, true
	}
	if p.held >= heldRefusals {
		return 0, false
	}
	p.held++
	return min(time.Duration(p.refused*float64(refusalDelay)), maxRefusalDelay), true
}

// end counts out a refusal that took longer.
func (p *patience) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held--
}

// slowDown waits before a refusal is answered, the longer the more there were. It returns false without waiting if too
// many refusals wait already.
func (p *patience) slowDown(ctx context.Context, stopping <-chan struct{}) bool {
	d, ok := p.delay(time.Now())
	if d == 0 {
		return ok
	}
	defer p.end()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	case <-stopping:
	}
	return true
}
