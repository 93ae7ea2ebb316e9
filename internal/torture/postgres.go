package torture

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"

	_ "github.com/lib/pq" // the driver of PostgreSQL
)

// owner is a user that a process runs as.
type owner struct{ uid, gid uint32 }

// unprivileged is the user of PostgreSQL's programs, which do not run as root; nil: the one that runs this.
func unprivileged() *owner {
	if os.Geteuid() != 0 {
		return nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, _ := strconv.ParseUint(u.Uid, 10, 32) // it is a number on every Unix
		gid, _ := strconv.ParseUint(u.Gid, 10, 32) // as above
		return &owner{uint32(uid), uint32(gid)}
	}
	return nil
}

// node is one PostgreSQL server, on a port of 127.0.0.1.
type node struct {
	dir, bin, port string
	forker         *forker
	cmd            *exec.Cmd
	args           []string
}

// postgresPrograms is the directory of PostgreSQL's programs.
func postgresPrograms() (string, error) {
	if dir := os.Getenv("PGBIN"); dir != "" {
		return dir, nil
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err == nil && len(found) > 0 {
		slices.Sort(found)
		return filepath.Dir(found[len(found)-1]), nil
	}
	path, err := exec.LookPath("initdb")
	if err != nil {
		return "", errors.New("PostgreSQL's programs are not found: install them, or name their directory in PGBIN")
	}
	return filepath.Dir(path), nil
}

// newNode makes a node's directory.
func newNode(f *forker) (*node, error) {
	bin, err := postgresPrograms()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "torture-pg") // short: a socket's path has at most 107 bytes
	if err != nil {
		return nil, err
	}
	if as := unprivileged(); as != nil {
		if err := os.Chown(dir, int(as.uid), int(as.gid)); err != nil {
			return nil, err
		}
	}
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	_, port, err := net.SplitHostPort(address)
	return &node{dir: dir, bin: bin, port: port, forker: f}, err
}

func (n *node) data() string    { return filepath.Join(n.dir, "data") }
func (n *node) address() string { return "127.0.0.1:" + n.port }

func (n *node) run(program string, args ...string) error {
	cmd := exec.CommandContext(context.Background(), filepath.Join(n.bin, program), args...) // #nosec G204 -- a program that the tester chose
	cmd.Dir = n.dir
	ofOurs(cmd, unprivileged())
	var out []byte
	done := make(chan error, 1)
	n.forker.tasks <- func() {
		var err error
		out, err = cmd.CombinedOutput()
		done <- err
	}
	if err := <-done; err != nil {
		return fmt.Errorf("%s: %w: %s", program, err, out)
	}
	return nil
}

// create makes an empty cluster that others may replicate.
func (n *node) create() error {
	return n.run("initdb", "-D", n.data(), "-A", "trust", "-U", "postgres", "--no-sync", "--locale=C", "-E", "UTF8")
}

// follow copies a running node, whose standby it is from its start on.
func (n *node) follow(primary *node, name string) error {
	if err := os.RemoveAll(n.data()); err != nil {
		return err
	}
	return n.run("pg_basebackup", "-D", n.data(), "-R", "-X", "stream", "--checkpoint=fast", "--no-sync",
		"-d", fmt.Sprintf("host=127.0.0.1 port=%s user=postgres application_name=%s", primary.port, name))
}

// start starts the node, and waits until it answers. Its commits are durable.
func (n *node) start(settings ...string) error {
	n.args = settings
	args := []string{"-D", n.data(), "-k", n.dir, "-h", "127.0.0.1", "-p", n.port}
	for _, s := range append([]string{"max_connections=200", "shared_buffers=32MB", "hot_standby=on", "wal_level=replica", "fsync=on"}, settings...) {
		args = append(args, "-c", s)
	}
	log, err := os.OpenFile(filepath.Join(n.dir, "log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()                                                                            //nolint:errcheck // the server has it
	n.cmd = exec.CommandContext(context.Background(), filepath.Join(n.bin, "postgres"), args...) // #nosec G204 -- as above
	n.cmd.Dir, n.cmd.Stderr = n.dir, log
	ofOurs(n.cmd, unprivileged())
	if err := n.forker.start(n.cmd); err != nil {
		return err
	}
	for limit := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		_, err := n.exec("SELECT 1")
		if err == nil {
			return nil
		}
		if time.Now().After(limit) {
			return fmt.Errorf("PostgreSQL does not answer: %w; its log: %s", err, log.Name())
		}
	}
}

// stop ends the node; SIGQUIT is as if it crashed.
func (n *node) stop(sig syscall.Signal) {
	if n.cmd == nil {
		return
	}
	_ = n.cmd.Process.Signal(sig)
	killer := time.AfterFunc(20*time.Second, func() { _ = n.cmd.Process.Kill() })
	defer killer.Stop()
	_ = n.cmd.Wait()
	n.cmd = nil
}

// exec runs a statement that returns one number, or none.
func (n *node) exec(statement string) (int64, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	db, err := sql.Open("postgres", databaseURL(n.address(), "postgres"))
	if err != nil {
		return 0, err
	}
	defer db.Close() //nolint:errcheck // nothing is pending
	var number sql.NullInt64
	err = db.QueryRowContext(ctx, statement).Scan(&number)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return number.Int64, err
}

func databaseURL(address, database string) string {
	u := url.URL{Scheme: "postgres", User: url.User("postgres"), Host: address, Path: database, RawQuery: "sslmode=disable"}
	return u.String()
}

// cluster is a node that serves, perhaps a standby behind it, and a proxy by which the servers reach it.
type cluster struct {
	primary, standby *node
	forker           *forker
	proxy            *proxy
	mode             string // "sync", "async" or ""
	names            int
	bouncer          *bouncer
}

const databaseName = "restante"

// newCluster starts PostgreSQL.
func newCluster(f *forker, mode string, pooled bool) (*cluster, error) {
	c := &cluster{forker: f, mode: mode}
	primary, err := newNode(f)
	if err != nil {
		return nil, err
	}
	c.primary = primary
	if err := errors.Join(primary.create(), primary.start()); err != nil {
		c.remove()
		return nil, err
	}
	if _, err := primary.exec("CREATE DATABASE " + databaseName); err != nil {
		c.remove()
		return nil, err
	}
	if c.proxy, err = newProxy(nil, primary.address()); err != nil {
		c.remove()
		return nil, err
	}
	if err := c.addStandby(); err != nil {
		c.remove()
		return nil, err
	}
	if pooled {
		if c.bouncer, err = newBouncer(f, c.proxy.address()); err != nil {
			c.remove()
			return nil, err
		}
	}
	return c, nil
}

// address is where the servers reach the database.
func (c *cluster) address() string {
	if c.bouncer != nil {
		return c.bouncer.address
	}
	return c.proxy.address()
}

// addStandby adds a standby, and has commits wait for it if it is synchronous.
func (c *cluster) addStandby() error {
	if c.mode == "" {
		return nil
	}
	c.names++
	name := fmt.Sprintf("standby%d", c.names)
	standby, err := newNode(c.forker)
	if err != nil {
		return err
	}
	c.standby = standby
	if err := errors.Join(standby.follow(c.primary, name), standby.start()); err != nil {
		return err
	}
	if c.mode != "sync" {
		return nil
	}
	if _, err := c.primary.exec("ALTER SYSTEM SET synchronous_standby_names = '" + name + "'"); err != nil {
		return err
	}
	if _, err := c.primary.exec("SELECT pg_reload_conf()::int"); err != nil {
		return err
	}
	for limit := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		n, err := c.primary.exec("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'")
		if err == nil && n == 1 {
			return nil
		}
		if time.Now().After(limit) {
			return fmt.Errorf("the standby does not become synchronous: %w", err)
		}
	}
}

// promote kills the primary, has the standby take its place, and makes a new standby.
func (c *cluster) promote() error {
	c.proxy.paused.Add(1)
	c.primary.stop(syscall.SIGKILL)
	c.proxy.sever()
	c.proxy.paused.Add(-1)
	old := c.primary
	if _, err := c.standby.exec("SELECT pg_promote(true, 20)::int"); err != nil {
		return err
	}
	c.primary, c.standby = c.standby, nil
	for _, statement := range []string{"ALTER SYSTEM RESET synchronous_standby_names", "SELECT pg_reload_conf()::int"} {
		if _, err := c.primary.exec(statement); err != nil {
			return err
		}
	}
	c.proxy.retarget(c.primary.address())
	_ = os.RemoveAll(old.dir)
	return c.addStandby()
}

func (c *cluster) remove() {
	if c.bouncer != nil {
		c.bouncer.stop()
	}
	if c.proxy != nil {
		c.proxy.close()
	}
	for _, n := range []*node{c.standby, c.primary} {
		if n != nil {
			n.stop(syscall.SIGQUIT)
			_ = os.RemoveAll(n.dir)
		}
	}
}
