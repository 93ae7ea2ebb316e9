package e2e_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"restante/internal/e2e"
)

// mounting runs a command with a small file system of its own, which exists as
// long as the command runs, and which needs no superuser.
func mounting(dir string) []string {
	private := []string{"unshare", "--mount"}
	if os.Geteuid() != 0 {
		private = append(private, "--map-root-user")
	}
	return append(private, "sh", "-c", `mount -t tmpfs -o size=12m,mode=700 restante "$0" && exec "$@"`, dir)
}

// TestFullDisk fills the disk under the server, and makes room again. Reads go on meanwhile.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	t.Run("full", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		try := append(mounting(dir), "true")
		if out, err := exec.Command(try[0], try[1:]...).CombinedOutput(); err != nil {
			// Nothing is left untested for that: the quota below takes the space away as well.
			t.Logf("no file system can be mounted here (%v: %s); see the quota", err, out)
			return
		}
		s := e2e.NewServer(t)
		s.Wrap, s.Database = mounting(dir), filepath.Join(dir, "restante.db")
		s.Start()
		s.WaitReady()
		filler := fmt.Sprintf("/proc/%d/root%s/filler", s.PID(), dir)
		outage(t, s, http.StatusOK, func() { fill(t, filler) }, func() {
			if err := os.Remove(filler); err != nil {
				t.Fatal(err)
			}
		})
	})
	t.Run("quota", func(t *testing.T) {
		t.Parallel()
		s := e2e.NewServer(t)
		s.Wrap = []string{"env", "--block-signal=XFSZ"} // which would come with the error, and be the end
		s.Start()
		s.WaitReady()
		limit := func(to string) func() {
			return func() {
				if out, err := exec.Command("prlimit", "--pid", strconv.Itoa(s.PID()), "--fsize="+to+":unlimited").CombinedOutput(); err != nil {
					t.Fatalf("prlimit: %v: %s", err, out)
				}
			}
		}
		outage(t, s, http.StatusOK, limit("4096"), limit("unlimited"))
	})
}

// fill writes a file until nothing more fits.
func fill(t *testing.T, name string) {
	t.Helper()
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := io.Copy(f, zeros{}); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("filling the disk: %v", err)
	}
}

// zeros never ends.
type zeros struct{}

func (zeros) Read(b []byte) (int, error) { return len(b), nil }
