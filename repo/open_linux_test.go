package repo_test

import (
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"restante/repo"
)

// Root ignores permission bits, so the test uses the files as another user.
func TestOpenWithoutPermission(t *testing.T) {
	t.Parallel()
	for name, x := range map[string]struct {
		dir, file os.FileMode
		problem   string
	}{
		"to its directory":   {0o555, 0o666, "no file can be created beside it"},
		"to the file":        {0o777, 0o444, "it cannot be written to"},
		"to it, nor read it": {0o777, 0o000, "it cannot be opened"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			path := filepath.Join(dir, "restante.db")
			must(os.WriteFile(path, templateFile(), 0o600))
			must(os.Chmod(path, x.file))
			must(os.Chmod(filepath.Dir(dir), 0o755)) // #nosec G302
			must(os.Chmod(dir, x.dir))
			done := make(chan struct{})
			go func() {
				defer close(done)
				runtime.LockOSThread() // never unlocked, so that the thread with the other user ends here
				if os.Getuid() == 0 {
					_, _, _ = syscall.RawSyscall(syscall.SYS_SETFSUID, 65534, 0, 0)
				}
				wantOpenError(t, path, x.problem)
			}()
			<-done
			must(os.Chmod(dir, 0o700)) // #nosec G302 -- so that it can be removed
		})
	}
}

// TestOpenRefusesHardLinks opens a database by two names in one process: SQLite would keep a log for each.
func TestOpenRefusesHardLinks(t *testing.T) {
	t.Parallel()
	db := open(t, repo.Options{})
	path := repo.Path(t, db)
	link := filepath.Join(t.TempDir(), "link.db")
	must(os.Link(path, link))
	wantOpenError(t, link, "another server is using it under another name")
	wantWorking(t, db) // and it has lost no lock
	must(db.Close())
	wantWorking(t, open(t, repo.Options{URL: link}))
	wantOpenError(t, path, "another server is using it under another name")
}
