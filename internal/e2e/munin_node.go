package e2e

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// MuninNode is a real munin-node, with nothing but our plugins.
type MuninNode struct {
	t      *testing.T
	conn   net.Conn
	answer *bufio.Reader
}

// muninDefaults has munin-node look for everything in a directory of the test's.
const muninDefaults = `do '/usr/share/perl5/Munin/Common/Defaults.pm' or die;
$Munin::Common::Defaults::MUNIN_CONFDIR = $Munin::Common::Defaults::MUNIN_PLUGSTATE = $Munin::Common::Defaults::MUNIN_STATEDIR = '%s';
1;
`

// StartMuninNode starts munin-node with a plugin for each graph, which have this environment. It ends with the test.
func StartMuninNode(t *testing.T, graphs []string, env ...string) *MuninNode {
	t.Helper()
	ctx := Context(t)
	dir, address := t.TempDir(), FreeAddress(t)
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	group, err := user.LookupGroupId(me.Gid)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("perl/Munin/Common/Defaults.pm", fmt.Sprintf(muninDefaults, dir))
	write("node.conf", fmt.Sprintf("log_file %s/log\npid_file %s/pid\nbackground 0\nsetsid 0\nuser %s\ngroup %s\nhost %s\nport %s\nhost_name test\nallow .*\n", dir, dir, me.Username, group.Name, host, port))
	write("plugin-conf.d/restante", fmt.Sprintf("[restante_*]\nuser %s\nenv.GORACE atexit_sleep_ms=0\nenv.%s\n", me.Username, strings.Join(env, "\nenv.")))
	write("plugins/.keep", "")
	for _, graph := range graphs {
		if err := os.Symlink(binary(), filepath.Join(dir, "plugins", "restante_"+graph)); err != nil {
			t.Fatal(err)
		}
	}
	cmd := Command(ctx, "/usr/sbin/munin-node", "--config", filepath.Join(dir, "node.conf"))
	cmd.Env = Environment("PERL5LIB=" + filepath.Join(dir, "perl"))
	if err := cmd.Start(); err != nil {
		t.Fatalf("%v: apt-get install munin-node", err)
	}
	n := &MuninNode{t: t}
	t.Cleanup(func() {
		if n.conn != nil {
			_ = n.conn.Close() // then the process that serves it ends
		}
		_ = Kill(cmd)
		_ = cmd.Wait()
		if log, err := os.ReadFile(filepath.Join(dir, "log")); err == nil && t.Failed() {
			t.Logf("munin-node's log:\n%s", log)
		}
	})
	Eventually(t, "munin-node listens", func() bool {
		n.conn, err = net.DialTimeout("tcp", address, Limit)
		return err == nil
	})
	if err := n.conn.SetDeadline(time.Now().Add(Limit)); err != nil {
		t.Fatal(err)
	}
	n.answer = bufio.NewReader(n.conn)
	if line, err := n.answer.ReadString('\n'); err != nil || !strings.HasPrefix(line, "# munin node at test") {
		t.Fatalf("munin-node says %q (%v)", line, err)
	}
	return n
}

// Ask sends a command, and returns the lines of the answer by the first word of each.
func (n *MuninNode) Ask(command, graph string) map[string]string {
	n.t.Helper()
	if _, err := fmt.Fprintf(n.conn, "%s restante_%s\n", command, graph); err != nil {
		n.t.Fatal(err)
	}
	lines := map[string]string{}
	for {
		line, err := n.answer.ReadString('\n')
		if err != nil {
			n.t.Fatalf("%s %s: %v after %v", command, graph, err, lines)
		}
		line = strings.TrimSuffix(line, "\n")
		if line == "." {
			return lines
		}
		name, value, _ := strings.Cut(line, " ")
		lines[name] = value
	}
}
