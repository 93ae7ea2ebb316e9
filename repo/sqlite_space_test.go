package repo_test

import (
	"database/sql"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"restante/rendezvous"
	"restante/repo"
)

// TestFileShrinks is of a file that was filled: once it is pruned, the space is given back, also by a file that an
// earlier version made.
func TestFileShrinks(t *testing.T) {
	t.Parallel()
	for name, prepare := range map[string]func(path string){
		"a new file": func(string) {},
		"a file of an earlier version": func(path string) {
			db, err := sql.Open("sqlite", path)
			must(err)
			_, err = db.ExecContext(t.Context(), "CREATE TABLE x (y); DROP TABLE x; PRAGMA journal_mode = WAL")
			must(errors.Join(err, db.Close()))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "restante.db")
			prepare(path)
			db := open(t, repo.Options{URL: path, Now: time.Now})
			s := &rendezvous.Service{Config: rendezvous.DefaultConfig(), Store: db, Log: slog.New(slog.DiscardHandler)}
			s.Config.BootGrace, s.Config.NameplateRest = 0, 0
			ref := rendezvous.SideRef{App: "app", Side: "a"}
			draft := rendezvous.Draft{Phase: "p", Body: strings.Repeat("x", 60<<10)}
			for i := range 8 {
				id := rendezvous.MailboxID(strconv.Itoa(i))
				_, err := s.OpenFor(t.Context(), ref, id)
				must(err)
				for range 2 {
					_, err = s.AddFor(t.Context(), ref, id, []rendezvous.Draft{draft, draft, draft, draft, draft, draft, draft, draft, draft, draft, draft, draft, draft, draft, draft, draft})
					must(err)
				}
			}
			empty, full := int64(12<<20), int64(0)
			must(db.View(t.Context(), func(tx rendezvous.Tx) error {
				size, err := tx.StorageSize()
				full = size.Used
				return err
			}))
			if full < 15<<20 {
				t.Fatalf("the file has only %d bytes in use", full)
			}
			for i := range 8 {
				must(s.CloseFor(t.Context(), ref, rendezvous.MailboxID(strconv.Itoa(i)), rendezvous.Happy))
			}
			s.Prune(t.Context())
			if failed := s.PruneFailures(); len(failed) > 0 {
				t.Errorf("pruning failed: %v", failed[0].Err)
			}
			must(db.Close())
			info, err := os.Stat(path)
			must(err)
			if info.Size() > empty {
				t.Errorf("the file has %d bytes after all was retired", info.Size())
			}
		})
	}
}
