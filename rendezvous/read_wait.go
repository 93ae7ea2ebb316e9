package rendezvous

import (
	"context"
	"crypto/sha256"
	"errors"
	"time"

	"restante/internal/hub"
	"restante/session"
)

// ReadRequest is what a side asks of a mailbox's log.
type ReadRequest struct {
	Mailbox MailboxID
	After   Position // only messages after it
	Limit   int
	Own     bool          // also messages that the side itself added
	Open    bool          // enter and open the mailbox first
	TTL     time.Duration // the longer life that Open asks for, or 0
	Wait    time.Duration // how long to wait for a message
	Bytes   int64         // as in [ReceiveRequest]
	Session session.Key   // that reads; zero for a side without one
}

// LogPoll is a held read of a mailbox's log: it waits for a message, and is a standing sign of life of its
// side. It needs a goroutine while it reads and none while it waits. It belongs to one goroutine at a time.
type LogPoll struct {
	s       *Service
	side    SideRef
	request ReadRequest // After moves on past what was looked at
	passed  int         // messages of the side itself that were passed over
	key     MailboxKey
	page    Page
	over    bool       // the hold was over at the last read
	since   time.Time  // when the read began
	ending  PollEnding // "" unless it waits
	until   time.Time
	stop    func() bool // the timer of the hold; nil unless it waits
	watch   *hub.Watch[Topic]
	release func()
	ready   hub.Event // set when another read may find more
}

// StartRead begins to read a mailbox's log for a side. The caller must close it. It
// refuses with NOT_FOUND if the side is not in the mailbox and does not ask to open it; to open it refuses
// as [Service.Open] does.
func (s *Service) StartRead(ctx context.Context, side SideRef, r ReadRequest) (_ *LogPoll, err error) {
	if s.draining.Load() && r.Wait > 0 {
		return nil, serverStopping()
	}
	p := &LogPoll{s: s, side: side, request: r, since: s.now()}
	if p.key, err = s.visit(ctx, side, r); err != nil {
		return nil, err
	}
	p.release = s.KeepAlive(p.key)
	hold := min(r.Wait, s.holdOfReads(side, r.Mailbox))
	p.until = time.Now().Add(hold)
	if err := p.read(ctx); err != nil {
		p.Close()
		return nil, err
	}
	if p.empty() && !p.over {
		p.stop = s.afterFunc(hold, p.ready.Set)
		p.ending = PollAbandoned // unless it ends otherwise
		s.stats.Parked.Add(1)
		alive := p.release
		p.release = func() {
			alive()
			s.stats.Parked.Add(-1)
		}
	}
	return p, nil
}

// Close ends the read, whether it was answered or not. Closing again does nothing.
func (p *LogPoll) Close() {
	if p.watch != nil {
		p.watch.Stop()
	}
	if p.stop != nil {
		p.stop()
	}
	if p.release != nil {
		p.release()
		p.release = nil
	}
	if p.ending != "" {
		p.s.observing().Poll(p.ending)
		p.ending = ""
	}
}

// Wait waits for the answer, at most for the given time. If answered is false and err is nil, the read is
// still held, and goes on with another Wait or with OnReady.
func (p *LogPoll) Wait(ctx context.Context, atMost time.Duration) (_ Page, answered bool, err error) {
	late := time.NewTimer(atMost)
	defer late.Stop()
	for isLate := false; p.empty() && !p.over; {
		if isLate { // and the wake that came just in time brought nothing
			return Page{}, false, nil
		}
		p.watch.OnWake(p.ready.Set)
		ready := p.ready.Chan()
		select {
		case <-ready:
		case <-ctx.Done():
			return Page{}, false, ctx.Err()
		case <-late.C:
			isLate = true
			select {
			case <-ready: // just in time
			default:
				return Page{}, false, nil
			}
		}
		if err := p.read(ctx); err != nil {
			p.ending = endingOf(err)
			return Page{}, false, err
		}
	}
	if p.ending != "" {
		p.ending = p.s.endingOfAnswer(len(p.page.Messages))
		for _, m := range p.page.Messages {
			p.s.observeDelivered(ByPoll, p.since, m.Received)
		}
	}
	return p.page, true, nil
}

// Allow sets how many bytes the answer may have, as [ReadRequest.Bytes] does. It has no effect on what was read before.
func (p *LogPoll) Allow(bytes int64) { p.request.Bytes = bytes }

// OnReady calls f once, as soon as there may be an answer; if that is now, before OnReady returns. f must
// not block.
func (p *LogPoll) OnReady(f func()) {
	p.watch.OnWake(p.ready.Set)
	p.ready.OnSet(f)
}

func (p *LogPoll) empty() bool { return len(p.page.Messages) == 0 }

// holdOfReads returns how long reads of a mailbox are held for a side, at most. As that of polls, it differs from side to
// side, so that those that began together do not end together.
func (s *Service) holdOfReads(side SideRef, id MailboxID) time.Duration {
	key := sha256.Sum256([]byte(string(side.App) + "\x00" + string(side.Side) + "\x00" + string(id)))
	return s.timing().Hold(key, 0)
}

// Passed returns how many messages of the side itself were passed over, so far.
func (p *LogPoll) Passed() int { return p.passed }

// read reads what there is. Watch, read, wait: a commit after the watch began wakes the read.
func (p *LogPoll) read(ctx context.Context) error {
	p.ready.Clear()
	p.over = !time.Now().Before(p.until)
	if p.watch != nil {
		p.watch.Stop()
	}
	if p.s.draining.Load() {
		if p.watch != nil { // it was held
			p.s.linger(ctx, &p.ready)
		}
		p.over = true
	}
	p.watch = p.s.hub.Watch(Topic{Mailbox: p.key})
	for {
		if err := p.look(ctx); err != nil || !p.empty() || p.page.Next == p.page.Last {
			return err
		}
	}
}

// look reads a page. The next look goes on after it.
func (p *LogPoll) look(ctx context.Context) error {
	err := p.s.read(ctx, func(t *txn) error {
		m, err := t.MailboxByKey(p.key)
		if errors.Is(err, ErrNotFound) || err == nil && !m.Has(p.side.Side) {
			return refuse(NotFound, "the mailbox was closed or retired meanwhile; with open=true, read it from after=0 on")
		}
		if err != nil {
			return err
		}
		p.page, err = t.pageOf(m, p.side.Side, p.request)
		return err
	})
	if err == nil {
		p.passed += int(p.page.Next-p.request.After) - len(p.page.Messages)
		p.request.After = p.page.Next
	}
	return err
}

// lookSpan is how many positions a look at a log goes on, at most, past messages that are not asked for. These are not
// loaded, so it takes ten or twenty milliseconds.
const lookSpan = 10_000

// pageOf reads a page of a log. It has no messages, and ends before the last one, if none of the first [lookSpan] are
// asked for.
func (t *txn) pageOf(m Mailbox, side Side, r ReadRequest) (page Page, err error) {
	page = Page{Last: m.Last, Next: min(r.After, m.Last)}
	count, size := min(r.Limit, t.s.Config.Limits.AnswerFrames), t.s.answerBytes(r.Bytes)
	if page.Next == m.Last {
		return page, nil
	}
	if !r.Own {
		page.Messages, page.Next, err = t.MessagesOfOthers(m.Key, side, page.Next, min(page.Next+lookSpan, m.Last), count, size)
		return page, err
	}
	page.Messages, err = t.Messages(m.Key, page.Next, count, size)
	if page.Next = m.Last; len(page.Messages) > 0 {
		page.Next = page.Messages[len(page.Messages)-1].Position
	}
	return page, err
}
