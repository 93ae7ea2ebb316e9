package rendezvous

import (
	"context"
	"errors"
	"time"

	"restante/session"
)

// SessionFilter says which sessions are listed: those of an app and from an address, unless these are empty, and at most
// Limit.
type SessionFilter struct {
	App     AppID
	Address string
	Limit   int
}

// UsageGroup is how the nameplates or mailboxes of an app that began on one day (UTC) and ended with one result went.
type UsageGroup struct {
	Kind    Kind
	Day     time.Time
	App     AppID
	Result  Result
	Count   int64
	Waiting Quantiles // how long the first side waited for the second, of those that a second side came to
	Total   Quantiles
}

// Quantiles are durations that 50 %, 90 % and 99 % of a number of records do not exceed.
type Quantiles struct {
	Count                 int64
	Half, Most, NearlyAll time.Duration
}

// VersionCount is how many clients of a version connected.
type VersionCount struct {
	App            AppID
	Implementation string // empty if the client did not say
	Version        string
	Clients        int64
}

// maxVersions is how many versions a usage report names.
const maxVersions = 200

// UsageReport is how the server is used.
type UsageReport struct {
	Since, Now time.Time
	Groups     []UsageGroup
	Versions   []VersionCount
}

// UsagePeriod is what a usage report is about: the last hours up to now, or if these are 0, the last days, whole days in
// UTC with today as the last one.
type UsagePeriod struct{ Days, Hours int }

// since returns when the period began.
func (p UsagePeriod) since(now time.Time) time.Time {
	if p.Hours > 0 {
		return now.Add(-time.Duration(p.Hours) * time.Hour)
	}
	return now.UTC().Truncate(24*time.Hour).AddDate(0, 0, 1-p.Days)
}

// Usage reports on a period that ends now.
func (s *Service) Usage(ctx context.Context, period UsagePeriod) (UsageReport, error) {
	var report UsageReport
	err := s.read(ctx, func(t *txn) (err error) {
		report = UsageReport{Now: t.Now(), Since: period.since(t.Now())}
		if report.Groups, err = t.UsageSince(report.Since); err != nil {
			return err
		}
		report.Versions, err = t.VersionsSince(report.Since, maxVersions)
		return err
	})
	return report, err
}

// ListedSession is a live session as operators see it.
type ListedSession struct {
	Session
	State session.State
}

// LiveSessions lists sessions for operators.
func (s *Service) LiveSessions(ctx context.Context, f SessionFilter) ([]ListedSession, error) {
	var list []ListedSession
	err := s.read(ctx, func(t *txn) error {
		stored, err := t.Tx.LiveSessions(f)
		list = make([]ListedSession, 0, len(stored))
		for _, one := range stored {
			state := s.state(one, t.Now())
			if _, over := state.(session.Closed); !over {
				list = append(list, ListedSession{one, state})
			}
		}
		return err
	})
	return list, err
}

// RemoveSession ends a live session for the operator, and tells its client a text. What its side holds lives until its
// ttl. It refuses with NOT_FOUND if there is no such session that lives.
func (s *Service) RemoveSession(ctx context.Context, k session.Key, text string) error {
	return s.transact(ctx, func(t *txn) error {
		stored, err := t.Session(k)
		if errors.Is(err, ErrNotFound) || err == nil && stored.Ended != nil {
			return refuse(NotFound, "no live session has this key")
		}
		if err != nil {
			return err
		}
		return t.remove(stored, text)
	})
}

// remove ends a session that its client did not end, and tells its client a text.
func (t *txn) remove(stored Session, text string) error {
	closed := t.closed(stored, session.Removed)
	if closed.Reason == session.Removed {
		closed = closed.Because(text)
	}
	closed.Used = true // its client is to learn why
	if err := t.keepMailboxes(stored.App, stored.Side, t.s.lastSeen(stored, t.Now())); err != nil {
		return err
	}
	t.wakeSession(stored.Key)
	return t.writeTombstone(stored, closed)
}
