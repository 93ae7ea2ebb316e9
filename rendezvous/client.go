package rendezvous

import (
	"context"
	"sync"
	"time"

	"restante/session"
)

// clients is what this process knows of sessions' clients and has not, or will
// never, write down: signs of life, acknowledgements, what is under way. Losing it costs
// nothing: a sign of life is padded by [sightingSlack], and a frame whose
// acknowledgement is lost is only kept longer.
type clients struct {
	mu    sync.Mutex
	known map[session.Key]*client // made on first use
	dirty map[session.Key]bool    // those with an acknowledgement to write
	back  []session.Key           // those who came back after a silence that is longer than what is stored may lag
	kick  chan struct{}           // capacity 1: there is something in dirty or back
}

// client is one of them. It is guarded by clients.mu.
type client struct {
	seen    time.Time // the last sign of life, unless parked
	written time.Time // the sign of life that is stored
	grace   time.Duration
	handed  time.Time // when frames were handed out last
	parked  int       // receives that are held: each a standing sign of life
	busy    int       // commands that are unanswered

	epoch    session.Epoch // of the acknowledgement
	acked    session.Seq
	toldFull bool // WINDOW_FULL was told in this episode
}

// of finds or makes a client; mu is held.
func (c *clients) of(k session.Key) *client {
	if c.known == nil {
		c.known, c.dirty = map[session.Key]*client{}, map[session.Key]bool{}
	}
	one := c.known[k]
	if one == nil {
		one = &client{}
		c.known[k] = one
	}
	return one
}

// seen is the last sign of life, given the one that is stored: exactly, if nobody
// else wrote it, and otherwise padded by how far that may lag behind.
func (c *clients) seen(k session.Key, stored, now time.Time) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	one := c.known[k]
	switch {
	case one == nil || one.seen.IsZero() && one.parked == 0:
		return stored.Add(sightingSlack)
	case one.parked > 0:
		return now
	case stored.After(one.written) && stored.Add(sightingSlack).After(one.seen):
		return stored.Add(sightingSlack)
	}
	return one.seen
}

// saw notes a sign of life.
func (c *clients) saw(k session.Key, now time.Time, grace time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.see(k, c.of(k), now, grace)
}

// see notes a sign of life. One that is the first for long is written at once,
// for what is stored would be too old; mu is held.
func (c *clients) see(k session.Key, one *client, now time.Time, grace time.Duration) {
	if now.Sub(one.seen) > sightingSlack-sightingTick && now.Sub(one.written) > sightingSlack-sightingTick {
		c.back = append(c.back, k)
		c.wake()
	}
	one.seen, one.grace = now, grace
}

// wake has recordLoop look; mu is held.
func (c *clients) wake() {
	if c.kick != nil {
		select {
		case c.kick <- struct{}{}:
		default:
		}
	}
}

// wrote notes a sign of life that has just been stored.
func (c *clients) wrote(k session.Key, at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if one := c.known[k]; one != nil && one.written.Before(at) {
		one.written = at
	}
}

// begin counts a command as unanswered, unless too many are.
func (c *clients) begin(k session.Key) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	one := c.of(k)
	if one.busy >= session.Window {
		return false
	}
	one.busy++
	return true
}

func (c *clients) finish(k session.Key) {
	c.mu.Lock()
	defer c.mu.Unlock()
	one := c.of(k)
	if one.busy--; one.busy == 0 && one.seen.IsZero() && one.parked == 0 {
		delete(c.known, k) // it turned out to be nobody
	}
}

// handshaken notes a handshake that was accepted: its acknowledgement is stored,
// and those of older epochs no longer count.
func (c *clients) handshaken(k session.Key, e session.Epoch, acked session.Seq, now time.Time, grace time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	one := c.of(k)
	one.seen, one.written, one.grace = now, now, grace
	if e >= one.epoch {
		one.epoch, one.acked, one.toldFull = e, acked, false
		delete(c.dirty, k)
	}
}

// acknowledge notes that a client has processed every frame below upTo. It
// answers false if that is less than was acknowledged in this epoch already: then it is old news.
func (c *clients) acknowledge(k session.Key, e session.Epoch, upTo session.Seq) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	one := c.of(k)
	switch {
	case e < one.epoch || e == one.epoch && upTo < one.acked:
		return false
	case e == one.epoch && upTo == one.acked:
		return true
	}
	one.epoch, one.acked = e, upTo
	c.dirty[k] = true
	c.wake()
	return true
}

// acked is the highest acknowledgement of this epoch, given the stored one.
func (c *clients) acked(k session.Key, e session.Epoch, stored session.Seq) session.Seq {
	c.mu.Lock()
	defer c.mu.Unlock()
	if one := c.known[k]; one != nil && one.epoch == e {
		return max(stored, one.acked)
	}
	return stored
}

// lastAcked is the highest acknowledgement that this process knows of, in whichever epoch.
func (c *clients) lastAcked(k session.Key) session.Seq {
	c.mu.Lock()
	defer c.mu.Unlock()
	if one := c.known[k]; one != nil {
		return one.acked
	}
	return 0
}

// park counts a receive as held, and answers how to end that.
func (c *clients) park(k session.Key, now func() time.Time, grace time.Duration) (leave func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	one := c.of(k)
	c.see(k, one, now(), grace)
	one.parked++
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		one.parked--
		one.seen = now()
	}
}

// hand notes that frames are handed out.
func (c *clients) hand(k session.Key, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if one := c.known[k]; one != nil {
		one.handed = now
	}
}

// handedOut is when frames were handed out last, here.
func (c *clients) handedOut(k session.Key) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if one := c.known[k]; one != nil {
		return one.handed
	}
	return time.Time{}
}

// full tells whether to tell a client that its window is full: once an episode.
func (c *clients) full(k session.Key, full bool) (tell bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	one := c.of(k)
	tell = full && !one.toldFull
	one.toldFull = full
	return tell
}

// attached counts the clients of this process that are not silent.
func (c *clients) attached(now time.Time, silence time.Duration) (n int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, one := range c.known {
		if one.parked > 0 || now.Before(one.seen.Add(silence)) {
			n++
		}
	}
	return n
}

const (
	sightingTick  = 10 * time.Second      // how often signs of life are looked through
	ackDelay      = 50 * time.Millisecond // for how long acknowledgements are gathered
	recordTimeout = 10 * time.Second      // for one batch at the very end
	recordBatch   = 500                   // sessions written in one transaction
)

// recordLoop writes down signs of life and acknowledgements, and all of them at the end.
func (s *Service) recordLoop(ctx context.Context) {
	kick := make(chan struct{}, 1)
	s.clients.mu.Lock()
	s.clients.kick = kick
	s.clients.mu.Unlock()
	s.arrived.mu.Lock()
	s.arrived.kick = kick
	s.arrived.mu.Unlock()
	kick <- struct{}{} // for what came before the loop
	tick := time.NewTicker(sightingTick)
	defer tick.Stop()
	holding := time.NewTicker(sightingSlack - sightingTick)
	defer holding.Stop()
	writing := context.WithoutCancel(ctx) // what is begun is finished: it may be the last that is heard of it
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(writing, recordTimeout)
			defer cancel()
			s.survive("record acknowledgements", func() error { return s.recordAcks(last) })
			s.survive("record signs of life", func() error { return s.recordSightings(last, s.takeSightings(0)) })
			s.survive("record which mailboxes are held", func() error { return s.recordHolds(last) })
			s.survive("record who arrived", func() error { return s.recordArrivals(last) })
			return
		case <-kick:
			sleep(ctx, ackDelay)
			s.survive("record acknowledgements", func() error { return s.recordAcks(writing) })
			s.survive("record who came back", func() error { return s.recordSightings(writing, s.clients.takeBack()) })
			s.survive("record who arrived", func() error { return s.recordArrivals(writing) })
		case <-holding.C:
			s.survive("record which mailboxes are held", func() error { return s.recordHolds(writing) })
		case <-tick.C:
			s.logs.sweep()
			s.outboxes.sweep()
			s.survive("record signs of life", func() error { return s.recordSightings(writing, s.takeSightings(sightingSlack-sightingTick)) })
		}
	}
}

// sleep waits for d or for ctx's end.
func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// takeAcks takes up to a batch of what is dirty.
func (c *clients) takeAcks() []session.Ack {
	c.mu.Lock()
	defer c.mu.Unlock()
	var acks []session.Ack
	for k := range c.dirty {
		one := c.known[k]
		acks = append(acks, session.Ack{Session: k, Epoch: one.epoch, UpTo: one.acked})
		delete(c.dirty, k)
		if len(acks) == recordBatch {
			break
		}
	}
	return acks
}

// recordAcks writes the acknowledgements down. What cannot be written is
// forgotten: the client's next one says more.
func (s *Service) recordAcks(ctx context.Context) error {
	for {
		acks := s.clients.takeAcks()
		if len(acks) == 0 {
			return nil
		}
		err := s.Store.Update(ctx, func(tx Tx) error { return tx.Acknowledge(acks...) })
		if err != nil {
			return s.told(err)
		}
	}
}

// recordSightings writes down signs of life.
func (s *Service) recordSightings(ctx context.Context, pending []sighting) error {
	for len(pending) > 0 {
		batch := pending[:min(recordBatch, len(pending))]
		pending = pending[len(batch):]
		for i := range batch {
			batch[i].Sighting.SweepAt = s.sweepAt(batch[i].Seen, batch[i].grace)
		}
		err := s.Store.Update(ctx, func(tx Tx) error {
			sightings := make([]session.Sighting, len(batch))
			for i, p := range batch {
				sightings[i] = p.Sighting
			}
			return tx.UpdateLastSeen(sightings)
		})
		if err != nil {
			return s.told(err)
		}
		for _, p := range batch {
			s.clients.wrote(p.Key, p.Seen)
		}
	}
	return nil
}

// sighting is a sign of life to write.
type sighting struct {
	session.Sighting
	grace time.Duration
}

// takeSightings are the signs of life that are newer than what is stored, where
// that is older than minAge.
func (s *Service) takeSightings(minAge time.Duration) []sighting {
	return s.clients.takeSightings(s.now(), minAge, s.timing().Silence())
}

// takeBack are the signs of life of those who came back after a silence.
func (c *clients) takeBack() []sighting {
	c.mu.Lock()
	defer c.mu.Unlock()
	pending := make([]sighting, 0, len(c.back))
	for _, k := range c.back {
		if one := c.known[k]; one != nil && one.seen.After(one.written) {
			pending = append(pending, sighting{session.Sighting{Key: k, Seen: one.seen}, one.grace})
		}
	}
	c.back = nil
	return pending
}

// takeSightings also forgets the clients that are gone for good.
func (c *clients) takeSightings(now time.Time, minAge, silence time.Duration) []sighting {
	c.mu.Lock()
	defer c.mu.Unlock()
	var pending []sighting
	for k, one := range c.known {
		if one.parked > 0 {
			one.seen = now
		}
		gone := one.seen.Add(silence).Add(one.grace).Add(2 * sightingSlack)
		switch {
		case one.seen.IsZero():
		case one.seen.After(one.written) && now.Sub(one.written) >= minAge:
			pending = append(pending, sighting{session.Sighting{Key: k, Seen: one.seen}, one.grace})
		case one.parked == 0 && one.busy == 0 && now.After(gone) && !c.dirty[k]:
			delete(c.known, k)
		}
	}
	return pending
}
