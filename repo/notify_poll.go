package repo

import (
	"context"
	"log/slog"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"restante/rendezvous"
)

const (
	// bucketCount is how many change counters there are. Topics share them: a change
	// wakes every topic of its bucket.
	bucketCount = 1024
	// pollInterval is how often the counters are read, and so the longest delay of a notification.
	pollInterval = 50 * time.Millisecond
)

// pollTransport is the [notifyTransport] where LISTEN is not available: it polls change counters.
// It keeps no state on its connection from one transaction to the next.
type pollTransport struct {
	db  *sqlx.DB
	log *slog.Logger
}

func newPollTransport(url string, log *slog.Logger) (*pollTransport, error) {
	db, err := postgresPool(url, notifyTimeout)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(2)
	return &pollTransport{db, log}, nil
}

// bucket returns the number of the counter that counts a topic's changes.
func bucket(topic rendezvous.Topic) int64 {
	if topic.Mailbox != 0 {
		return int64(topic.Mailbox) % bucketCount
	}
	return (int64(topic.Session[0])<<8 | int64(topic.Session[1])) % bucketCount
}

func (p *pollTransport) send(ctx context.Context, topics []rendezvous.Topic, all bool) error {
	touched := make([]int64, 0, len(topics))
	for _, topic := range topics {
		touched = append(touched, bucket(topic))
	}
	if all {
		touched = touched[:0]
		for b := range int64(bucketCount) {
			touched = append(touched, b)
		}
	}
	// In the order of the buckets, so that no two processes deadlock.
	return p.transact(ctx, func(tx *sqlx.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO changes (bucket, count)
			SELECT bucket, 1 FROM (SELECT DISTINCT unnest($1::bigint[]) AS bucket) AS touched ORDER BY bucket
			ON CONFLICT (bucket) DO UPDATE SET count = changes.count + 1`, pq.Array(touched))
		return err
	})
}

func (p *pollTransport) receive(ctx context.Context, waker wakes) {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	known, failing := map[int64]int64{}, true // changes before the first poll may have been missed
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		counts, err := p.counts(ctx)
		if err != nil {
			if !failing && ctx.Err() == nil {
				p.log.Warn("cannot poll for changes of other replicas", "error", err)
			}
			failing = true
			continue
		}
		if changed := changedBuckets(known, counts); failing {
			waker.wakeAll()
		} else if len(changed) > 0 {
			waker.WakeIf(func(topic rendezvous.Topic) bool { return changed[bucket(topic)] })
		}
		known, failing = counts, false
	}
}

// changedBuckets returns the buckets whose counts differ from the known ones.
func changedBuckets(known, counts map[int64]int64) map[int64]bool {
	changed := map[int64]bool{}
	for bucket, count := range counts {
		if known[bucket] != count {
			changed[bucket] = true
		}
	}
	return changed
}

func (p *pollTransport) counts(ctx context.Context) (map[int64]int64, error) {
	ctx, cancel := context.WithTimeout(ctx, notifyTimeout)
	defer cancel()
	counts := map[int64]int64{}
	rows, err := p.db.QueryContext(ctx, "SELECT bucket, count FROM changes") // without arguments, so that it takes one round trip and prepares nothing
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var bucket, count int64
		if err := rows.Scan(&bucket, &count); err != nil {
			return nil, err
		}
		counts[bucket] = count
	}
	return counts, rows.Err()
}

// transact runs f in a transaction, and so on one connection of a pooler.
func (p *pollTransport) transact(ctx context.Context, f func(*sqlx.Tx) error) error {
	tx, err := p.db.BeginTxx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // unless it is committed
	if err := f(tx); err != nil {
		return err
	}
	return tx.Commit()
}

func (p *pollTransport) close() error { return p.db.Close() }
