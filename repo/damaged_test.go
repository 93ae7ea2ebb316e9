package repo_test

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"restante/rendezvous"
	"restante/repo"
)

// TestDamageIsFound overwrites each page of a file in turn. It cannot be opened then, or the check says that it is
// damaged; it neither fails nor finds everything as it should be.
func TestDamageIsFound(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "sound.db")
	db := open(t, repo.Options{URL: path})
	config := rendezvous.DefaultConfig()
	sound(t, &rendezvous.Service{Config: config, Store: db, Log: slog.New(slog.DiscardHandler)})
	must(db.Close())
	content, err := os.ReadFile(path)
	must(err)
	const page = 2048
	checked := 0
	for number := range len(content) / page {
		damaged := slices.Clone(content)
		for i := range page {
			damaged[number*page+i] ^= 0x5a
		}
		path := filepath.Join(t.TempDir(), fmt.Sprint(number, ".db"))
		must(os.WriteFile(path, damaged, 0o600))
		db, err := repo.OpenToRead(t.Context(), repo.Options{URL: path})
		if err != nil {
			if _, says := errors.AsType[*repo.OpenError](err); !says {
				t.Errorf("page %d: it cannot be opened: %v", number+1, err)
			}
			continue
		}
		flaws, err := rendezvous.Check(t.Context(), db, config)
		if err != nil || len(flaws) == 0 || flaws[0].Kind != rendezvous.FlawFile {
			t.Errorf("page %d: %v (%v)", number+1, flaws, err)
		}
		checked++
		must(db.Close())
	}
	if checked < 10 {
		t.Errorf("%d pages were damaged of a file that could be opened", checked)
	}
}
