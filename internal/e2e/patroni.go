package e2e

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"restante/internal/testclient"
	"restante/repo/pgtest"
)

// Patroni is two nodes of PostgreSQL that Patroni looks after, which keeps what it knows in an etcd. One node is the
// primary, and the other its synchronous standby.
type Patroni struct {
	t       *testing.T
	dir     string
	bin     string // the directory of PostgreSQL's programs
	etcd    string // its address
	command []string
	nodes   [2]*PatroniNode
}

// PatroniNode is one node.
type PatroniNode struct {
	name     string
	api      string // the addresses of its Patroni
	database string // and of its PostgreSQL
	cmd      *exec.Cmd
	log      Output
}

// patroniSettings are short times: a primary that is gone is replaced after ttl seconds, of which Patroni allows no less.
const patroniSettings = `scope: restante
name: %[1]s
restapi: {listen: "%[2]s", connect_address: "%[2]s"}
etcd3: {host: "%[3]s"}
bootstrap:
  dcs:
    ttl: 20
    loop_wait: 1
    retry_timeout: 3
    synchronous_mode: true
    postgresql: {use_pg_rewind: true, parameters: {max_connections: 100}}
  initdb: [{encoding: UTF8}, {locale: C}, data-checksums]
  pg_hba: ["host all all 127.0.0.1/32 trust", "local all all trust", "host replication all 127.0.0.1/32 trust"]
postgresql:
  listen: "%[4]s"
  connect_address: "%[4]s"
  data_dir: "%[5]s/%[1]s"
  bin_dir: "%[6]s"
  pgpass: "%[5]s/%[1]s.pgpass"
  authentication: {superuser: {username: postgres}, replication: {username: replicator}, rewind: {username: postgres}}
  parameters: {unix_socket_directories: "%[5]s", fsync: "off"}
`

// StartPatroni starts both nodes, and waits until one is the standby of the other.
func StartPatroni(t *testing.T) *Patroni {
	t.Helper()
	for _, program := range []string{"etcd", "patroni"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Fatalf("%v (Debian: etcd-server, patroni, python3-etcd)", err)
		}
	}
	bin, err := pgtest.ProgramDir()
	if err != nil {
		t.Fatal(err)
	}
	if bin, err = filepath.EvalSymlinks(filepath.Join(bin, "postgres")); err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "patroni") //nolint:usetesting // another user owns it, and a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	p := &Patroni{t: t, dir: dir, bin: filepath.Dir(bin), etcd: FreeAddress(t)}
	if os.Geteuid() == 0 { // as which PostgreSQL does not run
		p.command = []string{"setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", "--pdeathsig=KILL"}
		p.give(dir)
	}
	peer := "http://" + FreeAddress(t)
	p.run(&Output{}, "etcd", "--name=etcd", "--data-dir="+filepath.Join(dir, "etcd"), "--unsafe-no-fsync", "--initial-cluster=etcd="+peer,
		"--listen-client-urls=http://"+p.etcd, "--advertise-client-urls=http://"+p.etcd,
		"--listen-peer-urls="+peer, "--initial-advertise-peer-urls="+peer)
	for i := range p.nodes {
		n := &PatroniNode{name: fmt.Sprint("node", i+1), api: FreeAddress(t), database: FreeAddress(t)}
		p.nodes[i] = n
		text := fmt.Sprintf(patroniSettings, n.name, n.api, p.etcd, n.database, dir, p.bin)
		if err := os.WriteFile(p.settings(n), []byte(text), 0o644); err != nil { // #nosec G306 -- there is nothing secret in it
			t.Fatal(err)
		}
		t.Cleanup(func() {
			p.kill(n)
			if t.Failed() {
				t.Logf("%s:\n%s", n.name, n.log.String())
			}
		})
		p.Start(n)
		if i == 0 {
			Eventually(t, "there is a primary", func() bool { return p.Primary() == n })
		}
	}
	p.WaitForStandby()
	return p
}

// give has PostgreSQL's user own a directory.
func (p *Patroni) give(dir string) {
	u, err := user.Lookup("postgres")
	if err != nil {
		p.t.Fatal(err)
	}
	uid, _ := strconv.Atoi(u.Uid) // it is a number on every Unix
	gid, _ := strconv.Atoi(u.Gid)
	if err := os.Chown(dir, uid, gid); err != nil {
		p.t.Fatal(err)
	}
}

func (p *Patroni) settings(n *PatroniNode) string { return filepath.Join(p.dir, n.name+".yaml") }

func (p *Patroni) run(log *Output, command ...string) *exec.Cmd {
	p.t.Helper()
	command = append(append([]string{}, p.command...), command...)
	cmd := Command(p.t.Context(), command[0], command[1:]...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = p.dir, log, log
	cmd.Env = append(os.Environ(), "HOME="+p.dir, "LC_ALL=C.UTF-8")
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() {
		_ = Kill(cmd) // or it has ended
		_ = cmd.Wait()
	})
	return cmd
}

// URL returns the URL of the database, with which a client finds the primary.
func (p *Patroni) URL() string {
	return "postgres://postgres@" + p.nodes[0].database + "," + p.nodes[1].database + "/postgres?sslmode=disable&target_session_attrs=read-write"
}

// Start starts a node, which becomes what Patroni wants it to be.
func (p *Patroni) Start(n *PatroniNode) {
	p.t.Helper()
	n.cmd = p.run(&n.log, "patroni", p.settings(n))
}

// KillPrimary kills all of the primary's node at once, as if its machine was gone, and returns the node.
func (p *Patroni) KillPrimary() *PatroniNode {
	p.t.Helper()
	n := p.Primary()
	if n == nil {
		p.t.Fatal("there is no primary")
	}
	p.kill(n)
	return n
}

// kill kills a node. PostgreSQL is no child of Patroni that would end with it.
func (p *Patroni) kill(n *PatroniNode) {
	_ = Kill(n.cmd)
	file := filepath.Join(p.dir, n.name, "postmaster.pid")
	lines, err := os.ReadFile(file)
	if err != nil {
		return // it does not run
	}
	first, _, _ := strings.Cut(string(lines), "\n")
	if pid, err := strconv.Atoi(first); err == nil {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	// After a machine has started again, no process has that number. Here one may have it until its parent asks for it, and
	// Patroni would wait for its end.
	_ = os.Remove(file)
}

// Primary returns the node that is the primary now, or nil.
func (p *Patroni) Primary() *PatroniNode { return p.inRole("leader") }

// WaitForStandby waits until each commit waits for the standby.
func (p *Patroni) WaitForStandby() {
	p.t.Helper()
	Eventually(p.t, "there is a synchronous standby", func() bool { return p.Primary() != nil && p.inRole("sync_standby") != nil })
}

// inRole returns the running node that has a role, or nil.
func (p *Patroni) inRole(role string) *PatroniNode {
	for _, n := range p.nodes {
		if n == nil {
			continue
		}
		a, err := testclient.Exchange(p.t.Context(), testclient.OneShot, http.MethodGet, "http://"+n.api+"/cluster", nil, "")
		if err != nil {
			continue
		}
		var cluster struct {
			Members []struct {
				Role, State, Host string
				Port              int
			}
		}
		if json.Unmarshal(a.Body, &cluster) != nil {
			continue
		}
		for _, m := range cluster.Members {
			if m.Role != role || m.State != "running" && m.State != "streaming" {
				continue
			}
			for _, n := range p.nodes {
				if n != nil && n.database == net.JoinHostPort(m.Host, strconv.Itoa(m.Port)) {
					return n
				}
			}
		}
	}
	return nil
}
