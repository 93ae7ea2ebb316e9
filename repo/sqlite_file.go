package repo

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

// resolvePath makes a path absolute and follows its symbolic links, so that one file has one
// lock. An [*OpenError] says what is wrong with the path.
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

// createFile creates an empty file that only the server's user can read, unless the file exists.
func createFile(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600) // #nosec G304 -- the operator's path
	if errors.Is(err, fs.ErrExist) {
		return nil // it is not opened, because closing it would drop SQLite's locks on it
	}
	if err != nil {
		return err
	}
	return f.Close()
}

// fileIdentity knows which files a database was opened from.
type fileIdentity struct {
	mu    sync.RWMutex
	files map[string]os.FileInfo // guarded by mu
}

// record remembers the file that is at path now.
func (i *fileIdentity) record(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.files == nil {
		i.files = make(map[string]os.FileInfo)
	}
	i.files[path] = info
	return nil
}

// check fails while one of the recorded files is missing or replaced by another: data
// written now would be lost at the next restart.
func (i *fileIdentity) check() error {
	i.mu.RLock()
	defer i.mu.RUnlock()
	for path, ours := range i.files {
		info, err := os.Stat(path)
		if err != nil {
			return unavailableError(err)
		}
		if !os.SameFile(ours, info) {
			return unavailableError(fmt.Errorf("%s is not the file that was opened", path))
		}
	}
	return nil
}
