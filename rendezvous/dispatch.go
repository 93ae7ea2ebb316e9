package rendezvous

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"strconv"
	"strings"
	"time"
)

// Dispatch is what the webhook of an app is still to be told of a mailbox: its messages in their order,
// and then that it was retired. There is one only while something is left to tell.
type Dispatch struct {
	Mailbox   MailboxKey
	App       AppID
	ID        MailboxID
	Sent      Position      // told up to here
	Last      Position      // to be told up to here
	Reason    RetiredReason // why the mailbox was retired; empty if it was not
	Retired   time.Time     // when it was
	Since     time.Time     // when something was told last, or when there was something to tell
	Attempts  int           // that failed since then
	Due       time.Time     // when it is tried next; while one process tries, when another one may
	Sender    string        // identifies the process that tries; empty if none does
	Abandoned bool          // it is not tried any more
}

// Event is one thing that a webhook is told.
type Event struct {
	ID      string // the same whenever it is told
	App     AppID
	Mailbox MailboxID
	Message *Message      // nil if the mailbox was retired
	Reason  RetiredReason // why it was
	Last    Position      // the last position of the retired mailbox
	At      time.Time
}

// DispatchCounts are how many mailboxes have something to tell.
type DispatchCounts struct {
	Pending   int64     // including those below
	Failing   int64     // the last attempt failed
	Abandoned int64     // not tried any more
	Oldest    time.Time // since when the one waits that waits longest; zero if none does
}

const (
	firstRetry = 2 * time.Second // after a failure; each further one doubles it
	lastRetry  = 30 * time.Minute
	// abandonAfter is how long a dispatch is tried without any success, and minAttempts how often at least: what waited
	// while the server was off, or was abandoned and is tried again, has an hour.
	abandonAfter = 24 * time.Hour
	minAttempts  = 12
	// keepDispatches is how long what cannot be delivered is kept, with the log that it refers to.
	keepDispatches = 7 * 24 * time.Hour
	dispatchPage   = 16 // messages that are loaded at once to be delivered
)

// Succeeded returns the dispatch after an event was told. left is false if nothing is left to tell.
func (d Dispatch) Succeeded(e Event, now time.Time) (_ Dispatch, left bool) {
	d.Since, d.Attempts = now, 0
	if e.Message == nil {
		return d, false
	}
	d.Sent = e.Message.Position
	return d, d.Sent < d.Last || d.Reason != ""
}

// Failed returns the dispatch after an attempt that failed. It is tried again later and later, and
// abandoned if none of it was told for long and many attempts, or if the receiver wants no more.
func (d Dispatch) Failed(gone bool, now time.Time) Dispatch {
	wait := lastRetry
	if d.Attempts < 10 {
		wait = min(firstRetry<<d.Attempts, lastRetry)
	}
	d.Attempts++
	d.Sender, d.Due = "", now.Add(wait)
	d.Abandoned = gone || d.Attempts >= minAttempts && now.Sub(d.Since) >= abandonAfter
	return d
}

// eventID returns the id of the event of a mailbox at a position, or of its retirement. It is the same on
// every server of one database, and another one for every event.
func (d Dispatch) eventID(at string) string {
	var key [8]byte
	binary.BigEndian.PutUint64(key[:], uint64(d.Mailbox)) //nolint:gosec // only its bits count
	sum := sha256.Sum256([]byte(string(key[:]) + string(d.App) + "\x00" + string(d.ID)))
	return "evt_" + strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:15])) + "_" + at
}

// queueDispatch notes that the webhook of the app, if it has one, is to be told of messages of a mailbox
// from a position on, or of its retirement if there is a reason.
func (t *txn) queueDispatch(m Mailbox, first Position, reason RetiredReason) error {
	if !t.s.hasWebhook(m.App) {
		return nil
	}
	d := Dispatch{Mailbox: m.Key, App: m.App, ID: m.ID, Sent: first - 1, Last: m.Last, Since: t.Now(), Due: t.Now()}
	if reason != "" {
		d.Reason, d.Retired = reason, t.Now()
	}
	if t.s.OnDispatch != nil {
		t.AfterCommit(t.s.OnDispatch)
	}
	return t.QueueDispatch(d)
}

// ClaimDispatches returns dispatches of an app that are due, at most limit, for the process that sender
// identifies. For so long as lease, no other process gets them. One that cannot be read, as another program has damaged it,
// is logged and left out; its turn comes again after the lease, behind those that became due before.
func (s *Service) ClaimDispatches(ctx context.Context, app AppID, sender string, lease time.Duration, limit int) ([]Dispatch, error) {
	due := false
	if err := s.read(ctx, func(t *txn) (err error) { due, err = t.DispatchesDue(app); return err }); err != nil || !due {
		return nil, err // the usual answer costs no write
	}
	var keys []MailboxKey
	err := s.transact(ctx, func(t *txn) (err error) {
		keys, err = t.ClaimDispatches(app, sender, t.Now().Add(lease), limit)
		return err
	})
	if err != nil {
		return nil, err // the transaction may still run, and write keys
	}
	var claimed []Dispatch
	unreadable, err := isolate(keys, func(some []MailboxKey) error {
		list, err := s.dispatches(ctx, some)
		claimed = append(claimed, list...)
		return err
	})
	if len(unreadable) > 0 && !storageFailed(err) {
		s.Log.Error("webhooks cannot be told of some mailboxes", "app", app, "mailboxes", len(unreadable), "error", err)
	}
	return claimed, nil
}

// dispatches returns what is to be told of mailboxes: all of it, or an error. A mailbox of which nothing is to be told any
// more is left out.
func (s *Service) dispatches(ctx context.Context, keys []MailboxKey) ([]Dispatch, error) {
	var list []Dispatch
	err := s.read(ctx, func(t *txn) error {
		list = nil
		for _, k := range keys {
			switch d, err := t.Dispatch(k); {
			case err == nil:
				list = append(list, d)
			case !errors.Is(err, ErrNotFound):
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err // the transaction may still run, and write list
	}
	return list, nil
}

// Events returns what is to be told next of a dispatch, in its order, but not all of it.
func (s *Service) Events(ctx context.Context, d Dispatch) (events []Event, err error) {
	err = s.read(ctx, func(t *txn) error {
		events = nil
		messages, err := t.Messages(d.Mailbox, d.Sent, dispatchPage, s.Config.Limits.AnswerBytes)
		if err != nil {
			return err
		}
		for _, m := range messages {
			if m.Position <= d.Last {
				events = append(events, Event{ID: d.eventID(strconv.FormatInt(int64(m.Position), 10)), App: d.App, Mailbox: d.ID, Message: &m, At: m.Received})
			}
		}
		if len(events) == 0 && d.Reason != "" {
			events = []Event{{ID: d.eventID("retired"), App: d.App, Mailbox: d.ID, Reason: d.Reason, Last: d.Last, At: d.Retired}}
		}
		return nil
	})
	return events, err
}

// Told records that an event was told, and keeps the dispatch for the sender. It returns what the
// dispatch is now; ok is false if nothing is left to tell, or another process took it over.
func (s *Service) Told(ctx context.Context, d Dispatch, e Event, lease time.Duration) (_ Dispatch, ok bool, _ error) {
	var now Dispatch
	var left bool
	err := s.transact(ctx, func(t *txn) (err error) {
		left = false
		if now, err = t.ownDispatch(d); err != nil {
			return ignoreNotFound(err)
		}
		if now, left = now.Succeeded(e, t.Now()); !left {
			return t.DeleteDispatch(d.Mailbox)
		}
		now.Due = t.Now().Add(lease)
		return t.UpdateDispatch(now)
	})
	if err != nil {
		return Dispatch{}, false, err // the transaction may still run, and write its results
	}
	return now, left, nil
}

// NotTold records that an attempt failed. gone is true if the receiver wants no more. It returns what
// the dispatch is now.
func (s *Service) NotTold(ctx context.Context, d Dispatch, gone bool) (Dispatch, error) {
	var now Dispatch
	err := s.transact(ctx, func(t *txn) (err error) {
		if now, err = t.ownDispatch(d); err != nil {
			return ignoreNotFound(err)
		}
		now = now.Failed(gone, t.Now())
		return t.UpdateDispatch(now)
	})
	if err != nil {
		return Dispatch{}, err // the transaction may still run, and write now
	}
	return now, nil
}

// ReleaseDispatch lets any process try the dispatch at once.
func (s *Service) ReleaseDispatch(ctx context.Context, d Dispatch) error {
	return s.transact(ctx, func(t *txn) error {
		now, err := t.ownDispatch(d)
		if err != nil {
			return ignoreNotFound(err)
		}
		now.Sender, now.Due = "", t.Now()
		return t.UpdateDispatch(now)
	})
}

// ownDispatch loads a dispatch, or returns [ErrNotFound] if it is not the sender's any more.
func (t *txn) ownDispatch(d Dispatch) (Dispatch, error) {
	now, err := t.Dispatch(d.Mailbox)
	if err == nil && now.Sender != d.Sender {
		err = ErrNotFound
	}
	return now, err
}

func ignoreNotFound(err error) error {
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

// SetWebhooks says which apps have a webhook that is told of messages and retirements, from now on. What an app that had
// one is still to be told stays as it is, for the case that it has one again.
func (s *Service) SetWebhooks(apps map[AppID]bool) { s.webhooks.Store(&apps) }

// HasWebhooks reports whether any app has a webhook.
func (s *Service) HasWebhooks() bool {
	apps := s.webhooks.Load()
	return apps != nil && len(*apps) > 0
}

func (s *Service) hasWebhook(app AppID) bool {
	apps := s.webhooks.Load()
	return apps != nil && (*apps)[app]
}

// ReviveDispatches has what was abandoned, or waits after a failure, tried again at once: an operator who starts the server
// or changes its webhooks may have mended what was wrong.
func (s *Service) ReviveDispatches(ctx context.Context) error {
	if !s.HasWebhooks() {
		return nil
	}
	return s.transact(ctx, func(t *txn) error { return t.ReviveDispatches(t.Now()) })
}

// DispatchCounts returns how many mailboxes have something to tell.
func (s *Service) DispatchCounts(ctx context.Context) (counts DispatchCounts, err error) {
	err = s.read(ctx, func(t *txn) (err error) { counts, err = t.DispatchCounts(); return err })
	return counts, err
}
