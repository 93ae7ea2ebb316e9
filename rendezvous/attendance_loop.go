package rendezvous

import (
	"context"
	"errors"
	"slices"
	"time"

	"restante/internal/presence"
	"restante/session"
)

const (
	// attendanceTick is how often watched sides are looked at, at most. A tenth of the silence that detaches a
	// session is less in a server that is set so.
	attendanceTick = 500 * time.Millisecond
	// attendanceRest is the part of its time that the loop looks, at most: one of so many.
	attendanceRest = 5
	// attendancePage is how many mailboxes are looked at in one view, and attendanceBatch how many are changed in
	// one transaction.
	attendancePage, attendanceBatch = 500, 50
)

// watchedTopic tells other processes that there are mailboxes to watch.
var watchedTopic = Topic{Mailbox: -1}

// attendanceEvery returns how often watched sides are looked at. Their signs of life are stored as often.
func (s *Service) attendanceEvery() time.Duration {
	return max(min(attendanceTick, s.timing().Silence()/10), time.Millisecond)
}

// attendanceLoop tells the sides of watched mailboxes of each other. While no mailbox is watched, it costs nothing; on
// a storage that is shared, it looks now and then whether there is one.
//
// Every process does this for all mailboxes, and writes down what it knows of its own clients. So what is told goes
// on when a process is killed, and is told once, because it is told in the transaction that records it.
func (s *Service) attendanceLoop(ctx context.Context) {
	var others <-chan time.Time
	if s.Announce != nil {
		tick := time.NewTicker(presence.WriteInterval)
		defer tick.Stop()
		others = tick.C
	}
	for {
		s.watchNews.Clear()
		began, watched := time.Now(), false
		if s.KnownReady() == nil {
			s.logErrors("tell sides of each other", func() (err error) {
				watched, err = s.tellAll(ctx)
				return err
			})
		} else {
			watched = true // it is looked again when the storage is back
		}
		var again <-chan time.Time
		if watched {
			again = time.After(max(s.attendanceEvery(), (attendanceRest-1)*time.Since(began)))
		}
		select {
		case <-ctx.Done():
			return
		case <-s.watchNews.Chan():
		case <-others:
		case <-again:
		}
	}
}

// watched is what a look at a page of watched mailboxes found.
type watched struct {
	mailboxes []Mailbox
	owners    []Session    // of their sides
	examine   []MailboxKey // sessions have acknowledged something in these
}

// tellAll looks at all watched mailboxes once. It reports whether there are any. What fails for one mailbox is done for
// the others.
func (s *Service) tellAll(ctx context.Context) (found bool, err error) {
	for after := MailboxKey(0); ; {
		var keys []MailboxKey
		failure := s.read(ctx, func(t *txn) (err error) {
			keys, err = t.WatchedMailboxes(after, attendancePage)
			return err
		})
		if failure != nil {
			return true, failure
		}
		if len(keys) == 0 {
			return found, err
		}
		found = true
		pages, failure := s.watchedPages(ctx, keys)
		if failure != nil {
			err = failure
		}
		for _, page := range pages {
			if storageFailed(err) {
				break
			}
			if failure := s.tellPage(ctx, page); failure != nil {
				err = failure
			}
		}
		if storageFailed(err) {
			return true, err
		}
		after = keys[len(keys)-1]
	}
}

// watchedPages reads mailboxes and what belongs to them: together, or without those that cannot be read.
func (s *Service) watchedPages(ctx context.Context, keys []MailboxKey) (pages []watched, err error) {
	_, err = isolate(keys, func(some []MailboxKey) error {
		var page watched
		err := s.read(ctx, func(t *txn) (err error) {
			page, err = t.watchedIn(some[0], some[len(some)-1])
			return err
		})
		if err == nil {
			pages = append(pages, page)
		}
		return err
	})
	return pages, err
}

// tellPage tells the sides of a page of mailboxes of each other.
func (s *Service) tellPage(ctx context.Context, page watched) error {
	err := s.recordSightings(ctx, s.newerSightings(page.owners))
	for keys := range slices.Chunk(s.toTell(page), attendanceBatch) {
		if storageFailed(err) {
			return err
		}
		if _, failure := isolate(keys, func(some []MailboxKey) error { return s.tellEach(ctx, some) }); failure != nil {
			err = failure
		}
	}
	return err
}

// tellEach tells the sides of some mailboxes of each other, in one transaction.
func (s *Service) tellEach(ctx context.Context, keys []MailboxKey) error {
	return s.transact(ctx, func(t *txn) error {
		for _, k := range keys {
			if err := t.tell(k); err != nil {
				return err
			}
		}
		return nil
	})
}

func (t *txn) watchedIn(first, last MailboxKey) (page watched, err error) {
	if page.mailboxes, err = t.WatchedIn(first, last); err != nil {
		return page, err
	}
	if page.owners, err = t.OwnersIn(first, last); err != nil {
		return page, err
	}
	page.examine, err = t.MailboxesToExamine(first, last)
	return page, err
}

// newerSightings returns the signs of life of watched sides that this process knows of and that are not stored yet.
func (s *Service) newerSightings(owners []Session) (list []presence.Sighting) {
	for _, owner := range owners {
		if owner.Ended != nil {
			continue
		}
		if newer, is := s.presence.Newer(owner.Key, owner.Seen, s.attendanceEvery()); is {
			list = append(list, newer)
		}
	}
	return list
}

// toTell returns the mailboxes of a page in which there may be something to tell, sorted.
func (s *Service) toTell(page watched) (keys []MailboxKey) {
	now := s.now()
	for _, m := range page.mailboxes {
		if _, changes := s.attend(m, page.owners, now); len(changes) > 0 || slices.Contains(page.examine, m.Key) && now.Sub(m.ReceivedTold) >= receivedInterval {
			keys = append(keys, m.Key)
		}
	}
	return keys
}

// attend returns a mailbox with the attendances of its sides as they are now, and the frames that say what changed.
func (s *Service) attend(m Mailbox, owners []Session, now time.Time) (Mailbox, []PresenceFrame) {
	var frames []PresenceFrame
	for _, o := range m.Sides {
		a := o.Attendance
		i := slices.IndexFunc(owners, func(s Session) bool { return s.App == m.App && s.Side == o.Side })
		switch {
		case i >= 0:
			a = s.attendance(owners[i], o.Attendance, latest(m.Watched, o.Entered), now)
		case a == Here || a == Silent:
			a = Attendance(session.Expired) // and its tombstone is gone
		}
		var changed bool
		if m, changed = m.Attend(o.Side, a); changed {
			frames = append(frames, PresenceFrame{o.Side, a})
		}
	}
	return m, frames
}

// attendance returns the attendance of a side with a last session, of which something was told before. since is when
// its mailbox was watched and the side was in.
//
// Processes know different things, so a side that was told to be there is so until it must be away by all that another
// one may know: a sign of life that is not stored yet, or that could not reach this process. It is there again only
// with a sign of life that is known. So two processes never contradict each other again and again. A side of which
// nothing was told is there no longer than it can have been before its mailbox was watched.
func (s *Service) attendance(owner Session, told Attendance, since, now time.Time) Attendance {
	if owner.Ended == nil {
		lag := time.Duration(0)
		if told == Here || told == Unknown {
			lag = 2 * s.attendanceEvery()
			if told == Unknown {
				since = earliest(since, s.lastSeen(owner, now))
			}
			if from := s.graceFrom.Load(); from != nil {
				since = latest(since, s.clock.time(*from))
			}
		} else {
			since = time.Time{}
		}
		seen := latest(since, s.presence.LastSeenWithin(owner.Key, owner.Seen, now, lag))
		if now.Before(seen.Add(s.timing().Silence())) {
			return Here
		}
	}
	if a := AttendanceOf(s.state(owner, now)); a != Here {
		return a
	}
	return Silent
}

// tell tells the sides of a mailbox what has changed of the others since they were told last.
func (t *txn) tell(k MailboxKey) error {
	before, err := t.IdleMailbox(k)
	if errors.Is(err, ErrNotFound) {
		return nil // it is retired, or its turn comes again soon
	}
	if err != nil {
		return err
	}
	owners, err := t.OwnersIn(k, k)
	if err != nil {
		return err
	}
	m, changes := t.s.attend(before, owners, t.Now())
	for _, f := range changes {
		if err := t.publishTo(m, f, func(sub Subscriber) bool { return sub.Presence && sub.Side != f.Side }); err != nil {
			return err
		}
	}
	m, received, err := t.examine(m)
	if err != nil {
		return err
	}
	for _, f := range received {
		if err := t.publishTo(m, f, func(sub Subscriber) bool { return sub.Receipts && sub.Side != f.Side }); err != nil {
			return err
		}
	}
	if len(changes)+len(received) == 0 {
		return nil
	}
	return t.UpdateMailbox(m)
}

// examine finds out how far the sides of a mailbox are with it, unless that was told a moment ago.
func (t *txn) examine(m Mailbox) (_ Mailbox, frames []ReceivedFrame, err error) {
	if t.Now().Sub(m.ReceivedTold) < receivedInterval {
		return m, nil, nil
	}
	progress, err := t.Progress(m.Key)
	if err != nil {
		return m, nil, err
	}
	for _, p := range progress {
		if err := t.Examined(m.Key, p.Session, p.Kept); err != nil {
			return m, nil, err
		}
		var changed bool
		if m, changed = m.Receive(p.Side, p.received(m.Last)); changed {
			m.ReceivedTold = t.Now()
			frames = append(frames, ReceivedFrame{p.Side, p.received(m.Last)})
		}
	}
	return m, frames, nil
}

// tellLast tells the other sides of a watched mailbox how far the acting side is, which is about to close it. No later
// look finds that. It may have acknowledged more than is stored.
func (t *txn) tellLast(m Mailbox) (Mailbox, error) {
	if m.Watched.IsZero() || t.actor == nil {
		return m, nil
	}
	subscribers, err := t.Subscribers(m.Key)
	if err != nil || !slices.ContainsFunc(subscribers, func(sub Subscriber) bool { return sub.Key == t.actor.Key }) {
		return m, err
	}
	acked := max(t.acked, t.s.presence.Acked(t.actor.Key, t.actor.Epoch, t.actor.Kept))
	next, err := t.Unacknowledged(m.Key, t.actor.Key, acked)
	if err != nil {
		return m, err
	}
	f := ReceivedFrame{t.actor.Side, Progress{Next: next}.received(m.Last)}
	m, changed := m.Receive(f.Side, f.Position)
	if !changed {
		return m, nil
	}
	return m, t.publishTo(m, f, func(sub Subscriber) bool { return sub.Receipts && sub.Side != f.Side })
}

// publishTo sends a frame to those sessions subscribed to the mailbox that are to get it.
func (t *txn) publishTo(m Mailbox, f Frame, to func(Subscriber) bool) error {
	subscribers, err := t.Subscribers(m.Key)
	for _, sub := range subscribers {
		if to(sub) {
			t.outgoing = append(t.outgoing, outgoing{to: sub.Key, of: m.ID, frame: f})
		}
	}
	return err
}

// publishCrowded tells the sides of a mailbox that a third one is refused.
func (t *txn) publishCrowded(m Mailbox) error {
	return t.publishTo(m, CrowdedFrame{}, func(sub Subscriber) bool { return sub.Presence })
}

// tellNow sends the acting session what is known of the other sides, as it has just asked for it. What changes later is
// told when it does.
func (t *txn) tellNow(m Mailbox, asked Watch) {
	send := func(f Frame) { t.outgoing = append(t.outgoing, outgoing{to: t.actor.Key, of: m.ID, frame: f}) }
	for _, o := range m.Sides {
		if o.Side == t.actor.Side || o.Closed != nil {
			continue
		}
		if asked.Presence && o.Attendance != Unknown {
			send(PresenceFrame{o.Side, o.Attendance})
		}
		if asked.Receipts && o.Received > 0 {
			send(ReceivedFrame{o.Side, o.Received})
		}
	}
}

// watch has the sides of a mailbox watched from now on, by all processes.
func (t *txn) watch(m Mailbox) (Mailbox, error) {
	if !m.Watched.IsZero() {
		return m, nil
	}
	m = m.Watch(t.Now())
	t.wake(watchedTopic)
	t.AfterCommit(t.s.watchNews.Set)
	return m, t.UpdateMailbox(m)
}
