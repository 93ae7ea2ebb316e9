package e2e_test

import (
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"restante/internal/e2e"
)

// TestCheck looks a database over beside a running server, spoils it, and has it mended once the server has ended.
func TestCheck(t *testing.T) {
	t.Parallel()
	s := e2e.Serve(t)
	useForMunin(t, s)
	check := func(wantCode int, wantOut, wantComplaint string, flags ...string) {
		t.Helper()
		out, complaints, code := e2e.Run(t, nil, append([]string{"check", "--database=" + s.Database}, flags...)...)
		if code != wantCode || !strings.Contains(out, wantOut) || !strings.Contains(complaints, wantComplaint) {
			t.Errorf("check %q: %d %q %q; want %d %q %q", flags, code, out, complaints, wantCode, wantOut, wantComplaint)
		}
	}
	check(0, "everything is as it should be\n", "")
	database, err := sql.Open("sqlite", "file:"+s.Database+"?_pragma=busy_timeout(60000)")
	if err != nil {
		t.Fatal(err)
	}
	defer database.Close()
	if _, err := database.ExecContext(t.Context(), "DELETE FROM mailbox_sides"); err != nil {
		t.Fatal(err)
	}
	check(1, "a mailbox has no sides: mailbox 1 of example.org/munin\n  would mend it: retire it\n", "not everything is as it should be")
	check(1, `{"kind":"mailbox-without-sides","wrong":"a mailbox has no sides: mailbox 1 of example.org/munin","mending":"retire it","mended":false}`, "", "--json")
	check(1, "", "another server is using it", "--repair")
	s.Kill()
	check(0, "mended: retire it\n", "", "--repair")
	check(0, "everything is as it should be\n", "")
	if usage := e2e.Column(t, s, "SELECT COUNT(*) FROM usage_mailboxes WHERE result = 'quiet'"); usage[0] != "2" {
		t.Errorf("%v mailboxes were retired, want 2", usage)
	}
	s.Start()
	s.WaitReady()
}

// TestRepairOfNothing names a file that does not exist: that is no database in which everything is as it should be.
func TestRepairOfNothing(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	out, complaints, code := e2e.Run(t, nil, "check", "--repair", "--database="+filepath.Join(folder, "restante.db"))
	if code != 1 || out != "" || !strings.Contains(complaints, "it does not exist") {
		t.Errorf("%d %q %q", code, out, complaints)
	}
	if files, err := os.ReadDir(folder); err != nil || len(files) > 0 {
		t.Errorf("there is %v (%v)", files, err)
	}
}
