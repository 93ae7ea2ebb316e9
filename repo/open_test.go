package repo_test

import (
	"bufio"
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"restante/repo"
)

// wantOpenError checks that a database is not opened, and that the error is one line with a problem and a hint.
func wantOpenError(t *testing.T, url, problem string) {
	t.Helper()
	db, err := repo.Open(t.Context(), repo.Options{URL: url})
	if err == nil {
		_ = db.Close()
		t.Fatalf("it was opened, though: %s", problem)
	}
	e, ok := errors.AsType[*repo.OpenError](err)
	if !ok {
		t.Fatalf("%v is no OpenError", err)
	}
	if !strings.Contains(e.Problem, problem) {
		t.Errorf("%q, not %q (%v)", e.Problem, problem, e.Err)
	}
	if e.Path == "" || e.Hint == "" || strings.Contains(err.Error(), "\n") {
		t.Errorf("not one line with a path and a hint: %v", err)
	}
}

func TestOpen(t *testing.T) {
	t.Parallel()
	for name, x := range map[string]struct {
		make    func(path string)
		problem string
	}{
		"what is no database":        {func(path string) { must(os.WriteFile(path, []byte(strings.Repeat("no database ", 99)), 0o600)) }, "it is not a SQLite database"},
		"one that is damaged":        {damageFile, "it is damaged"},
		"a directory":                {func(path string) { must(os.Mkdir(path, 0o700)) }, "it is not a file"},
		"another program's":          {func(path string) { execOnFile(path, "CREATE TABLE t (a)") }, "it is the database of another program"},
		"one of a newer server":      {func(path string) { newerSchema(path, 999, 998) }, "a newer server made it (its schema is version 999 and needs a server that knows version 998; this one knows version "},
		"one in a missing directory": {func(path string) { must(os.Remove(filepath.Dir(path))) }, "its directory does not exist"},
		"one that cannot be resolved": {func(path string) {
			must(os.Symlink("itself", path))
			must(os.Symlink(path, filepath.Dir(path)+"/itself"))
		}, "its symbolic links lead to no file"},
		"a link into a missing directory": {func(path string) { must(os.Symlink("missing/restante.db", path)) }, "its directory does not exist"},
	} {
		t.Run("refuses "+name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "restante.db")
			x.make(path)
			wantOpenError(t, path, x.problem)
			wantOpenError(t, "sqlite:"+path, x.problem) // the first attempt must leave nothing behind
		})
	}
	t.Run("leaves another program's as it was", func(t *testing.T) {
		t.Parallel()
		folder := t.TempDir()
		path := filepath.Join(folder, "foreign.db")
		execOnFile(path, "CREATE TABLE t (a)")
		before, err := os.ReadFile(path)
		must(err)
		wantOpenError(t, path, "it is the database of another program")
		after, err := os.ReadFile(path)
		must(err)
		files, err := os.ReadDir(folder)
		must(err)
		if !bytes.Equal(before, after) || len(files) != 1 {
			t.Errorf("it was changed, or there are files beside it: %v", files)
		}
	})
	t.Run("takes one of a newer server that says we can work with it", func(t *testing.T) {
		t.Parallel()
		path := filepath.Join(t.TempDir(), "restante.db")
		newerSchema(path, 999, 3)
		execOnFile(path, "ALTER TABLE messages ADD COLUMN colour TEXT; CREATE TABLE shelves (one INTEGER)") // an extension that a newer version may have made
		db := open(t, repo.Options{URL: path})
		must(db.Probe(t.Context()))
	})
	t.Run("refuses what is kept in no file", func(t *testing.T) {
		t.Parallel()
		wantOpenError(t, "mysql://user:secret@host/db", "this kind of database is not supported")
		_, err := repo.Open(t.Context(), repo.Options{URL: "mysql://user:secret@host/db"})
		if strings.Contains(err.Error(), "secret") {
			t.Error(err)
		}
	})
	t.Run("refuses a connection string, and keeps its password to itself", func(t *testing.T) {
		t.Parallel()
		for _, url := range []string{"host=db.example user=me password=secret dbname=restante", "user=me host=/tmp password = secret", "password=secret", "password=secret://x"} {
			wantOpenError(t, url, "this is a connection string")
			_, err := repo.Open(t.Context(), repo.Options{URL: url})
			if err == nil || strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), "postgres://user:password@host:5432/restante") {
				t.Error(err)
			}
		}
		wantWorking(t, open(t, repo.Options{URL: filepath.Join(t.TempDir(), "host=x.db")}))
	})
	t.Run("makes the file that links lead to", func(t *testing.T) {
		t.Parallel()
		folder := t.TempDir()
		for _, dir := range []string{"real/sub", "far/deep"} {
			must(os.MkdirAll(filepath.Join(folder, dir), 0o700))
		}
		for link, target := range map[string]string{
			"relative.db": "real/a.db", "absolute.db": folder + "/real/b.db", "first.db": "real/second.db", "real/second.db": "sub/c.db",
			"near": "far/deep", "up.db": "near/../d.db",
		} {
			must(os.Symlink(target, filepath.Join(folder, link)))
		}
		for link, file := range map[string]string{"relative.db": "real/a.db", "absolute.db": "real/b.db", "first.db": "real/sub/c.db", "up.db": "far/d.db"} {
			db := open(t, repo.Options{URL: filepath.Join(folder, link)})
			wantWorking(t, db)
			must(db.Close())
			if info, err := os.Lstat(filepath.Join(folder, file)); err != nil || !info.Mode().IsRegular() {
				t.Errorf("%s: there is no file %s: %v", link, file, err)
			}
			wantWorking(t, open(t, repo.Options{URL: filepath.Join(folder, link)}))
		}
	})
	t.Run("refuses one that is open, by whichever name, until it is closed", func(t *testing.T) {
		t.Parallel()
		db := open(t, repo.Options{})
		path := repo.Path(t, db)
		link := filepath.Join(t.TempDir(), "link.db")
		must(os.Symlink(path, link))
		for _, name := range []string{path, link} {
			wantOpenError(t, name, fmt.Sprintf("another server is using it (process %d)", os.Getpid()))
		}
		wantWorking(t, db)
		must(db.Close())
		wantWorking(t, open(t, repo.Options{URL: link}))
	})
	t.Run("refuses one that another process has open, until that is killed", func(t *testing.T) {
		t.Parallel()
		path := filepath.Join(t.TempDir(), "restante.db")
		holder := exec.Command(os.Args[0]) // #nosec G204 -- ourselves
		holder.Env = append(os.Environ(), "RESTANTE_HOLD="+path)
		holder.Stderr = os.Stderr
		_, err := holder.StdinPipe() // the holder ends when this pipe is closed
		must(err)
		out, err := holder.StdoutPipe()
		must(err)
		must(holder.Start())
		_, err = bufio.NewReader(out).ReadString('\n')
		must(err)
		wantOpenError(t, path, fmt.Sprintf("another server is using it (process %d)", holder.Process.Pid))
		if runtime.GOOS == "linux" {
			link := filepath.Join(filepath.Dir(path), "link.db")
			must(os.Link(path, link))
			wantOpenError(t, link, "another server is using it under another name")
			must(os.Remove(link))
		}
		must(holder.Process.Kill())
		_ = holder.Wait()
		wantWorking(t, open(t, repo.Options{URL: path}))
	})
	t.Run("takes a path as it is, and keeps what it makes to itself", func(t *testing.T) {
		t.Parallel()
		path := filepath.Join(t.TempDir(), "a b?c#d%41&e=é.db")
		wantWorking(t, open(t, repo.Options{URL: "sqlite:" + path}))
		info, err := os.Stat(path)
		must(err)
		if info.Mode().Perm() != 0o600 {
			t.Error(info.Mode())
		}
	})
}

// damageFile creates a database whose first page is garbage after its header.
func damageFile(path string) {
	file := append([]byte(nil), templateFile()...)
	for i := 100; i < 4096; i++ {
		file[i] = 0xa5
	}
	must(os.WriteFile(path, file, 0o600))
}

// newerSchema creates a database with a schema of a version that needs servers which know version compatible.
func newerSchema(path string, version, compatible int) {
	must(os.WriteFile(path, templateFile(), 0o600))
	execOnFile(path, fmt.Sprintf("INSERT INTO goose_db_version (version_id, is_applied) VALUES (%d, 1); UPDATE modified SET compatible = %d", version, compatible))
}

// execOnFile runs a statement on the file at path.
func execOnFile(path, statement string) {
	db, err := sql.Open("sqlite", path)
	must(err)
	defer db.Close()
	_, err = db.Exec(statement)
	must(err)
}
