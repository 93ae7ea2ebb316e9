package repo_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"restante/rendezvous"
	"restante/repo"
)

// TestLogShrinksAfterALongReader keeps a snapshot open while megabytes are written. Afterwards the log
// becomes small again, though nothing more is written.
func TestLogShrinksAfterALongReader(t *testing.T) {
	t.Parallel()
	db := open(t, repo.Options{})
	path := repo.Path(t, db)
	size := func() int64 {
		info, err := os.Stat(path + "-wal")
		must(err)
		return info.Size()
	}
	reader, err := repo.OpenRaw(t, path).Conn(t.Context())
	must(err)
	defer reader.Close()
	_, err = reader.ExecContext(t.Context(), "BEGIN DEFERRED")
	must(err)
	var count int
	must(reader.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM mailboxes").Scan(&count))
	const large = 20 << 20
	for i := 0; size() < large; i++ {
		must(db.Update(t.Context(), createWithMessage(rendezvous.MailboxID(fmt.Sprint(i)), 1<<20)))
	}
	must(db.View(t.Context(), func(tx rendezvous.Tx) error {
		got, err := tx.StorageSize()
		if got.Log < large || got.Database < 1 {
			t.Errorf("%+v, want a log of %d bytes at least", got, large)
		}
		return err
	}))
	_, err = reader.ExecContext(t.Context(), "COMMIT")
	must(err)
	eventually(t, "the log is small again", func() bool { return size() <= 8<<20 })
	wantWorking(t, db)
}

// TestViewsAreBounded reads on in a View whose time is over.
func TestViewsAreBounded(t *testing.T) {
	t.Parallel()
	db := open(t, repo.Options{})
	repo.SetViewLimit(db, -time.Second) // it is over at once
	err := db.View(context.Background(), func(tx rendezvous.Tx) error {
		_, err := tx.Counts()
		return err
	})
	if !errors.Is(err, rendezvous.ErrUnavailable) {
		t.Errorf("%v, want ErrUnavailable", err)
	}
}
