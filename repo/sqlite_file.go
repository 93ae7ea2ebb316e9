package repo

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

// locate makes a path absolute and follows its links, so that one file has one
// lock, and tells what is wrong with it.
func resolvePath(path string) (string, error) {
	full, err := filepath.Abs(path)
	if err != nil {
		return "", &OpenError{Path: path, Problem: "its path cannot be resolved", Hint: "give its full path", Err: err}
	}
	dir, err := filepath.EvalSymlinks(filepath.Dir(full))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", &OpenError{Path: full, Problem: "its directory does not exist", Hint: "make the directory " + filepath.Dir(full), Err: err}
	case err != nil:
		return "", &OpenError{Path: full, Problem: "its directory cannot be read", Hint: "let the server's user into " + filepath.Dir(full), Err: err}
	}
	full = filepath.Join(dir, filepath.Base(full))
	if target, err := filepath.EvalSymlinks(full); err == nil {
		full = target
	}
	if info, err := os.Stat(full); err == nil && !info.Mode().IsRegular() {
		return "", &OpenError{Path: full, Problem: "it is not a file", Hint: "name a file, which need not exist yet"}
	}
	return full, nil
}

// create makes an empty file for the server's eyes only, unless there is one.
func createFile(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600) // #nosec G304 -- the operator's path
	if errors.Is(err, fs.ErrExist) {
		return nil // and it is not opened: closing it again would drop SQLite's locks on it
	}
	if err != nil {
		return err
	}
	return f.Close()
}

// anchor knows which files a database was opened from.
type fileIdentity struct {
	mu    sync.RWMutex
	files map[string]os.FileInfo // guarded by mu
}

// drop takes the file at path for ours.
func (a *fileIdentity) record(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.files == nil {
		a.files = make(map[string]os.FileInfo)
	}
	a.files[path] = info
	return nil
}

// check fails while another file, or none, is where one of ours was: what were
// written now would be lost with the next restart.
func (a *fileIdentity) check() error {
	a.mu.RLock()
	defer a.mu.RUnlock()
	for path, ours := range a.files {
		info, err := os.Stat(path)
		if err != nil {
			return unavailableError(err)
		}
		if !os.SameFile(ours, info) {
			return unavailableError(fmt.Errorf("%s is another file than the one that was opened", path))
		}
	}
	return nil
}
