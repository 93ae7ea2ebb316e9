package repo

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

// maxLinks is how many symbolic links may lead to a file, each to the next, as on Linux.
const maxLinks = 40

// resolvePath makes a path absolute and follows its symbolic links, so that one file has one
// lock. The file need not exist yet. An [*OpenError] says what is wrong with the path.
func resolvePath(path string) (string, error) {
	full, err := filepath.Abs(path)
	if err != nil {
		return "", &OpenError{Path: path, Problem: "its path cannot be resolved", Hint: "give its full path", Err: err}
	}
	for next, links := full, 0; ; links++ {
		if full, err = resolveDir(next); err != nil {
			return "", err
		}
		target, err := os.Readlink(full)
		if err != nil {
			break // it is no link, or nothing yet
		}
		if links == maxLinks {
			return "", &OpenError{Path: full, Problem: "its symbolic links lead to no file", Hint: "let the link name the file"}
		}
		if next = target; !filepath.IsAbs(target) {
			next = filepath.Dir(full) + string(filepath.Separator) + target // Join would take a ".." from the name of a link
		}
	}
	if info, err := os.Stat(full); err == nil && !info.Mode().IsRegular() {
		return "", &OpenError{Path: full, Problem: "it is not a file", Hint: "name a file, which need not exist yet"}
	}
	return full, nil
}

// resolveDir follows the symbolic links of an absolute path, except that of its last name.
func resolveDir(path string) (string, error) {
	dir, name := filepath.Split(path)
	resolved, err := filepath.EvalSymlinks(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", &OpenError{Path: path, Problem: "its directory does not exist", Hint: "make the directory " + filepath.Clean(dir), Err: err}
	case err != nil:
		return "", &OpenError{Path: path, Problem: "its directory cannot be read", Hint: "let the server's user into " + filepath.Clean(dir), Err: err}
	}
	return filepath.Join(resolved, name), nil
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
