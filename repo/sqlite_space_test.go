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

// TestPageSize is of the file's pages, of which a commit writes each whole that it changes. A file of an earlier version
// keeps its size.
func TestPageSize(t *testing.T) {
	t.Parallel()
	for name, x := range map[string]struct {
		prepare string
		want    int
	}{
		"a new file":                   {"", 2048},
		"a file of an earlier version": {"PRAGMA auto_vacuum = 2; CREATE TABLE x (y); DROP TABLE x; PRAGMA journal_mode = WAL", 4096},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "restante.db")
			if x.prepare != "" {
				execOnFile(path, x.prepare)
			}
			wantWorking(t, open(t, repo.Options{URL: path}))
			db, err := sql.Open("sqlite", path)
			must(err)
			defer func() { must(db.Close()) }()
			var size, vacuum int
			must(db.QueryRowContext(t.Context(), "SELECT page_size, auto_vacuum FROM pragma_page_size, pragma_auto_vacuum").Scan(&size, &vacuum))
			if size != x.want || vacuum != 2 {
				t.Errorf("pages have %d bytes, not %d, and auto_vacuum is %d", size, x.want, vacuum)
			}
		})
	}
}
