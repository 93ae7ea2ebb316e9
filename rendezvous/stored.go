package rendezvous

import (
	"context"
	"time"
)

// Stored is what the storage tells of a server, also while none runs.
type Stored struct {
	Now, Updated time.Time
	Counts       Counts
	Storage      StorageSize
	Servers      []Server       // the one that was seen last comes first
	AllEnded     UsageTotals    // what ended since the storage was made
	Ended        UsageTotals    // what ended since the server started that was seen last
	Versions     []VersionCount // the clients that connected in the last hour
}

// ReadStored reads what the storage tells.
func ReadStored(ctx context.Context, store Store) (Stored, error) {
	var s Stored
	err := store.View(ctx, func(tx Tx) (err error) {
		s = Stored{Now: tx.Now()}
		if s.Updated, err = tx.Updated(); err != nil {
			return err
		}
		if s.Counts, err = tx.Counts(); err != nil {
			return err
		}
		if s.Storage, err = tx.StorageSize(); err != nil {
			return err
		}
		if s.Servers, err = tx.Servers(maxServers); err != nil {
			return err
		}
		if s.AllEnded, err = tx.UsageTotals(); err != nil {
			return err
		}
		if len(s.Servers) > 0 {
			if s.Ended, err = tx.UsageEndedSince(s.Servers[0].Started); err != nil {
				return err
			}
		}
		s.Versions, err = tx.VersionsSince(s.Now.Add(-time.Hour), maxVersions)
		return err
	})
	return s, err
}
