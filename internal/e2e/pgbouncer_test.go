package e2e_test

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"restante/internal/e2e"
	"restante/internal/testclient"
	"restante/repo/pgtest"
)

// TestBehindPgBouncer is two replicas that start together behind a pooler: one that gives each transaction another
// connection, and fewer than there are clients, and one that leaves a client its connection, with the settings of
// docs/scaling.md.
func TestBehindPgBouncer(t *testing.T) {
	t.Parallel()
	t.Run("transaction", func(t *testing.T) {
		t.Parallel()
		converseBehind(t, "--notify=poll", "pool_mode = transaction\ndefault_pool_size = 6\n")
	})
	t.Run("session", func(t *testing.T) {
		t.Parallel()
		text, err := os.ReadFile(e2e.Path("docs/scaling.md"))
		if err != nil {
			t.Fatal(err)
		}
		_, settings, found := strings.Cut(string(text), "<!-- pgbouncer -->\n```ini\n")
		settings, _, ended := strings.Cut(settings, "```")
		if !found || !ended {
			t.Fatal("docs/scaling.md has no settings of PgBouncer")
		}
		converseBehind(t, "--notify=listen", settings)
	})
	t.Run("session, and refuses", func(t *testing.T) {
		t.Parallel()
		address := pgBouncer(t, pgtest.Shared(t).Address(), "pool_mode = session\n")
		_, said, code := e2e.Run(t, nil, "--database=postgres://postgres@"+address+"/postgres?sslmode=disable")
		if code == 0 || !strings.Contains(said, "ignore_startup_parameters") {
			t.Errorf("it ends with %d and says %s", code, said)
		}
	})
}

// converseBehind has two replicas and their clients talk through a PgBouncer with these settings.
func converseBehind(t *testing.T, notify, settings string) {
	t.Helper()
	u, err := url.Parse(pgtest.Database(t))
	if err != nil {
		t.Fatal(err)
	}
	address := pgBouncer(t, pgtest.Shared(t).Address(), settings)
	servers := replicas(t, 2, "postgres://postgres@"+address+u.Path+"?sslmode=disable", notify)
	ctx := e2e.Context(t)
	talk := e2e.StartConversation(ctx, scattered(e2e.NewPairs(servers[0], 10), servers))
	if err := testclient.Pause(ctx, 2*time.Second); err != nil {
		t.Fatal(err)
	}
	total := talk.End(ctx, t)
	if err := e2e.AtOnce(talk.Pairs, func(p e2e.Pair) error { return p.Part(ctx) }); err != nil {
		t.Fatal(err)
	}
	if refused := total.Refused.Load() - total.Gaps.Load(); refused > 0 {
		t.Errorf("%d requests were refused", refused)
	}
	t.Logf("%d messages, each delivered once", talk.Said())
}

// pgBouncer starts a pooler with these settings.
func pgBouncer(t *testing.T, to, settings string) (address string) {
	t.Helper()
	program, err := exec.LookPath("pgbouncer")
	if err != nil {
		t.Fatal("this test needs PgBouncer: apt-get install pgbouncer")
	}
	host, port, err := net.SplitHostPort(to)
	if err != nil {
		t.Fatal(err)
	}
	address = e2e.FreeAddress(t)
	_, own, _ := net.SplitHostPort(address)
	dir, err := os.MkdirTemp("", "pgbouncer") //nolint:usetesting // another user must be able to enter it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	file := filepath.Join(dir, "pgbouncer.ini")
	text := fmt.Sprintf(`[databases]
* = host=%s port=%s user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %s
unix_socket_dir =
auth_type = any
max_client_conn = 200
%s`, host, port, own, settings)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil { // #nosec G306 -- there is nothing secret in it
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil { // #nosec G302 -- nor there
		t.Fatal(err)
	}
	command := []string{program, file}
	if os.Geteuid() == 0 { // as which it does not run
		command = append([]string{"setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", "--pdeathsig=KILL"}, command...)
	}
	cmd := e2e.Command(t.Context(), command[0], command[1:]...)
	var log e2e.Output
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = e2e.Kill(cmd) // it keeps nothing
		_ = cmd.Wait()
	})
	e2e.Eventually(t, "PgBouncer listens", func() bool {
		c, err := net.Dial("tcp", address)
		if err != nil {
			return false
		}
		return c.Close() == nil
	})
	return address
}
