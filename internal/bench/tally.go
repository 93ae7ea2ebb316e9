package bench

import (
	"slices"
	"sync"
	"time"
)

// tally is how long things took.
type tally struct {
	took []time.Duration
	lock sync.Mutex
}

// merge adds another tally to this one.
func (t *tally) merge(other *tally) {
	t.lock.Lock()
	defer t.lock.Unlock()
	t.took = append(t.took, other.took...)
}

// quantiles sorts the tally.
func (t *tally) quantiles() Quantiles {
	if len(t.took) == 0 {
		return Quantiles{}
	}
	slices.Sort(t.took)
	at := func(q float64) float64 {
		return float64(t.took[int(q*float64(len(t.took)-1))]) / float64(time.Millisecond)
	}
	return Quantiles{P50: at(0.5), P99: at(0.99), P999: at(0.999), Max: at(1)}
}
