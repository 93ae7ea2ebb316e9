package rendezvous

import (
	"context"
	"errors"
	"slices"
	"time"
)

// maxFlaws is how many flaws of a kind are found at a time.
const maxFlaws = 1000

// UsageKeeping is how usage records are kept: a check does not miss those that were deleted.
type UsageKeeping struct {
	Blur      time.Duration // their starts were rounded down to a multiple of it
	Retention time.Duration // they are deleted so long after what they are about has ended, or up to Blur earlier
	Records   int           // of each kind, the oldest are deleted if there are more
}

func (c Config) usageKeeping() UsageKeeping {
	return UsageKeeping{c.Blur, c.UsageRetention, c.Limits.UsageRecords}
}

// Check looks for everything that is wrong with what is stored: of each kind it finds a thousand at most. Each kind is looked
// for on a snapshot of its own, as a View may take only so long. In a damaged file, Check looks for nothing else.
func Check(ctx context.Context, store Store, c Config) ([]Flaw, error) {
	var flaws []Flaw
	for _, kind := range FlawKinds {
		var found []Flaw
		err := store.View(ctx, func(tx Tx) (err error) {
			found, err = tx.Flaws(kind, c.usageKeeping(), maxFlaws)
			return err
		})
		if kind == FlawFile && len(found) > 0 {
			return found, nil // the transaction may have failed over it; what seems to be missing may be there
		}
		if err != nil {
			return flaws, err
		}
		flaws = append(flaws, found...)
	}
	return flaws, nil
}

// ErrNoMending is the error for a flaw that cannot be mended.
var ErrNoMending = errors.New("this cannot be mended")

// Mend mends a flaw, in a transaction. It returns false if the flaw is gone. Mending one kind may bring about flaws of
// kinds that come later.
func (s *Service) Mend(ctx context.Context, f Flaw) (bool, error) {
	if f.Mending() == "" {
		return false, ErrNoMending
	}
	mended := false
	err := s.transact(ctx, func(t *txn) error {
		mended = false
		still, err := t.Flaws(f.Kind, s.Config.usageKeeping(), maxFlaws)
		if err != nil || !slices.Contains(still, f) {
			return err
		}
		mended = true
		return t.mend(f)
	})
	if err != nil {
		return false, err // the transaction may still run, and write mended
	}
	return mended, nil
}

func (t *txn) mend(f Flaw) error {
	switch f.Kind {
	case FlawMailboxSides, FlawMailboxLog:
		m, err := t.MailboxByKey(f.Mailbox)
		if err != nil {
			return err
		}
		return t.retire(m, RetiredPruned)
	case FlawNameplateMailbox, FlawNameplateClaims:
		n, err := t.Nameplate(f.App, f.Nameplate)
		if err != nil {
			return err
		}
		return t.retireNameplate(n, true)
	case FlawOutboxFrames:
		stored, err := t.Session(f.Session)
		if err != nil {
			return err
		}
		return t.remove(stored, "what it was to receive was lost in the server's storage")
	case FlawSessionOutbox:
		app, side, err := t.SideOf(f.Session)
		if err != nil {
			return err
		}
		if err := t.keepMailboxes(app, side, t.Now()); err != nil { // when it was seen last cannot be read
			return err
		}
		return t.MendRows(f)
	case FlawOrphans, FlawMailboxBytes, FlawNameplateWaiting, FlawOutboxCounters:
		return t.MendRows(f)
	case FlawUsage, FlawFile:
	}
	return ErrNoMending
}
