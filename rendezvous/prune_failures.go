package rendezvous

import (
	"context"
	"errors"
	"strings"
	"time"
)

// Good reports whether the run retired everything that was stale. A run in the boot grace looks at nothing.
func (p Pruned) Good() bool { return p.Failed == 0 && !p.Skipped }

// The classes of errors with which pruning fails.
const (
	PruneUnavailable = "unavailable" // the storage could not be used
	PruneTimeout     = "timeout"
	PruneFault       = "fault" // something is wrong in the storage or in the server
)

// Class returns what kind of error it was. It reveals nothing of what is stored.
func (f PruneFailure) Class() string {
	switch {
	case errors.Is(f.Err, ErrUnavailable):
		return PruneUnavailable
	case errors.Is(f.Err, context.DeadlineExceeded):
		return PruneTimeout
	default:
		return PruneFault
	}
}

// maxDetail is the length of the longest text of an error that is reported, in bytes.
const maxDetail = 300

// Detail returns the first line of the error's text. It may name what is stored, so it is for operators only.
func (f PruneFailure) Detail() string {
	if f.Err == nil {
		return ""
	}
	line, _, _ := strings.Cut(f.Err.Error(), "\n")
	return strings.ToValidUTF8(line[:min(len(line), maxDetail)], "")
}

// schedule records when the next run is due.
func (p *pruner) schedule(next time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.next = next
}

// recordApp records the app of something that could not be pruned. What cannot be pruned may be unreadable, too: then
// the app stays unknown.
func (s *Service) recordApp(ctx context.Context, kind Kind, key string, cursor any) {
	name := string(kind) + " " + key
	s.pruner.mu.Lock()
	failure, failed := s.pruner.failures[name]
	s.pruner.mu.Unlock()
	if !failed || failure.App != "" || failure.Attempts > 1 {
		return
	}
	var app AppID
	err := recoverPanic(func() error {
		return s.read(ctx, func(t *txn) error {
			switch c := cursor.(type) {
			case MailboxCursor:
				m, err := t.MailboxByKey(c.Key)
				app = m.App
				return err
			case NameplateCursor:
				app = c.App
			case SweepCursor:
				stored, err := t.Session(c.Key)
				app = stored.App
				return err
			}
			return nil
		})
	})
	if err != nil {
		return // the failure itself is logged
	}
	s.pruner.mu.Lock()
	defer s.pruner.mu.Unlock()
	if failure, failed := s.pruner.failures[name]; failed {
		failure.App = app
		s.pruner.failures[name] = failure
	}
}
