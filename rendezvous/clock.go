package rendezvous

import (
	"sync"
	"sync/atomic"
	"time"
)

const (
	measureInterval = 10 * time.Second       // the longest time between two measurements while nothing else asks the storage
	stepNoticed     = time.Second            // a smaller difference is drift
	clockError      = 100 * time.Millisecond // how far the estimated time may be behind the storage's
	skewNoticed     = 10 * time.Second       // from there on the difference of two clocks is logged
)

// storeClock tells the storage's time, which decides every deadline, on every replica. It is this
// process's monotonic time and an offset that every transaction measures again that asks for the time. So a
// step of this process's clock changes nothing, and a step of the storage's is noticed.
//
// A transaction reads the storage's clock at some moment between two readings of this process's. That
// bounds the offset from both sides, and the bounds of several transactions narrow it further. If they
// contradict each other, one of the clocks has been changed.
type storeClock struct {
	mu        sync.Mutex    // guards the following fields
	low, high time.Duration // the offset lies between them
	measured  time.Time     // when it was measured last, in local time

	read atomic.Pointer[clockReading] // nil until the first measurement
}

// clockReading turns local time into the storage's.
type clockReading struct {
	origin time.Time     // a local time with a monotonic reading
	offset time.Duration // the storage's time less the local one, which is counted from origin
}

// time returns the storage's time at a local time: that local time until the first measurement.
func (c *storeClock) time(local time.Time) time.Time {
	r := c.read.Load()
	if r == nil {
		return local
	}
	return r.plain(local).Add(r.offset)
}

// plain returns a local time as the local clock would show it if it had not been changed since origin.
func (r *clockReading) plain(local time.Time) time.Time {
	return r.origin.Round(0).Add(local.Sub(r.origin))
}

// measure records that the storage's clock showed at, in whole milliseconds, at some moment between
// two local times. It returns by how much the storage's clock was changed since the last measurement,
// or 0.
func (c *storeClock) measure(at, before, after time.Time) (step time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.measured = after
	r := c.read.Load()
	if r == nil {
		r = &clockReading{origin: before}
	}
	low, high := at.Sub(r.plain(after)), at.Add(time.Millisecond).Sub(r.plain(before))
	switch known := c.read.Load() != nil; {
	case !known:
	case low > c.high:
		step = low - c.high
	case high < c.low:
		step = high - c.low
	default:
		low, high = max(low, c.low), min(high, c.high)
	}
	if step.Abs() < stepNoticed {
		step = 0 // they drift
	}
	c.low, c.high = low, high
	if offset := max(low, high-clockError); c.read.Load() == nil || offset != r.offset {
		c.read.Store(&clockReading{r.origin, offset})
	}
	return step
}

// due reports whether the offset is to be measured again.
func (c *storeClock) due(local time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return local.Sub(c.measured) >= measureInterval
}

// skew returns by how much the storage's clock is ahead of this process's, as a wall clock shows it.
func (c *storeClock) skew(local time.Time) time.Duration {
	return c.time(local).Round(0).Sub(local.Round(0))
}

// local returns the time of this process.
func (s *Service) local() time.Time {
	if s.Now != nil {
		return s.Now()
	}
	return time.Now()
}

// afterFunc calls f after d, unless stop is called before.
func (s *Service) afterFunc(d time.Duration, f func()) (stop func() bool) {
	if s.AfterFunc != nil {
		return s.AfterFunc(d, f)
	}
	return time.AfterFunc(d, f).Stop
}

// now returns the storage's time, as far as this process knows it. Within a transaction, use the
// transaction's.
func (s *Service) now() time.Time { return s.clock.time(s.local()) }

// measure records that the storage showed at in a transaction that began after before. If the storage's clock was set
// forward, nothing expires for as long as that was, and at least for the boot grace: otherwise what lives
// would be over too soon.
func (s *Service) measure(at, before time.Time) {
	step := s.clock.measure(at, before, s.local())
	switch {
	case step == 0:
		return
	case step > 0:
		s.graceFor(max(s.Config.BootGrace, min(step, s.Config.MaxTTL)))
	}
	s.Log.Warn("the storage's clock was changed", "by", step.Round(time.Millisecond))
}

// watchClock measures the storage's clock if nothing else did, and logs when it differs from this
// process's: deadlines do not depend on that, but logs and client versions are hard to compare.
func (s *Service) watchClock(measure func() error) {
	if s.clock.due(s.local()) && !s.health.down() {
		s.logErrors("read the storage's clock", measure)
	}
	skew, logged := s.clock.skew(s.local()), time.Duration(s.loggedSkew.Load())
	if (skew - logged).Abs() < skewNoticed {
		return
	}
	s.loggedSkew.Store(int64(skew))
	if skew.Abs() >= skewNoticed {
		s.Log.Warn("this machine's clock is not the storage's; every deadline goes by the storage's", "storageAheadBy", skew.Round(time.Millisecond))
		return
	}
	s.loggedSkew.Store(0)
	s.Log.Info("this machine's clock is the storage's again")
}
