// Package pgtest starts real PostgreSQL servers for tests: temporary clusters that need no
// set-up, have no password and end with the process that started them.
//
// It finds the server's programs in the directory in PGBIN, in PATH, or in Debian's directory, and
// fails the test if there are none. It owns processes and directories, and must not know what is
// stored in its databases.
package pgtest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	_ "github.com/lib/pq" // the driver of the databases
)

// timeout is how long a cluster may take to start or stop, on a machine that is busy with other things, too.
const timeout = 4 * time.Minute

// Cluster is a PostgreSQL server and its data directory.
type Cluster struct {
	dir           string
	bin           string
	port          uint16
	settings      []string
	process       *exec.Cmd
	databaseCount atomic.Int64 // gives databases different names
	roleCount     atomic.Int64 // and roles
}

// shared is the cluster that the tests of the process share.
var shared struct {
	sync.Mutex
	*Cluster
}

// Database returns the URL of a new, empty database of the shared cluster. It is dropped when the
// test ends. TestMain calls [Stop].
func Database(tb testing.TB) string {
	tb.Helper()
	return Shared(tb).Database(tb)
}

// Shared returns the cluster that all tests of the process share. [Stop] stops it.
func Shared(tb testing.TB) *Cluster {
	tb.Helper()
	shared.Lock()
	defer shared.Unlock()
	if shared.Cluster == nil {
		c, err := start()
		if err != nil {
			tb.Fatal(err)
		}
		shared.Cluster = c
	}
	return shared.Cluster
}

// Stop stops the shared cluster, if a test used it. The clusters of [Start] stop with their
// tests, or now at the latest.
func Stop() {
	shared.Lock()
	defer shared.Unlock()
	if shared.Cluster != nil {
		shared.remove()
		shared.Cluster = nil
	}
	processThread.stop()
}

// Start starts a cluster for one test, which may stop and start it again.
// Each of settings is like "fsync=on".
func Start(tb testing.TB, settings ...string) *Cluster {
	tb.Helper()
	c, err := start(settings...)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(c.remove)
	return c
}

func start(settings ...string) (*Cluster, error) {
	bin, err := ProgramDir()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "pgtest") // short: a socket's path has at most 107 bytes
	if err != nil {
		return nil, err
	}
	c := &Cluster{dir: dir, bin: bin, settings: settings}
	if err := errors.Join(c.init(), c.Start()); err != nil {
		c.remove()
		return nil, err
	}
	return c, nil
}

// ProgramDir returns the directory of the server's programs, such as initdb.
func ProgramDir() (string, error) {
	if dir := os.Getenv("PGBIN"); dir != "" {
		return dir, nil
	}
	if path, err := exec.LookPath("initdb"); err == nil {
		return filepath.Dir(path), nil
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil || len(found) == 0 {
		return "", errors.New("these tests need a PostgreSQL server: apt-get install postgresql, or set PGBIN to the directory of its programs")
	}
	slices.Sort(found)
	return filepath.Dir(found[len(found)-1]), nil
}

// init creates the cluster's files.
func (c *Cluster) init() error {
	port, err := freePort()
	if err != nil {
		return err
	}
	c.port = port
	if owner := serverOwner(); owner != nil {
		if err := os.Chown(c.dir, int(owner.uid), int(owner.gid)); err != nil {
			return err
		}
	}
	cmd := c.command("initdb", "-D", c.data(), "-A", "trust", "-U", "postgres", "--no-sync", "--locale=C", "-E", "UTF8")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w: %s", err, out)
	}
	return nil
}

func (c *Cluster) data() string { return filepath.Join(c.dir, "data") }

// command returns a program of the server, which does not run as root and ends with this process.
func (c *Cluster) command(name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(context.Background(), filepath.Join(c.bin, name), args...) // #nosec G204 -- a program that the tester chose
	cmd.Dir = c.dir
	cmd.SysProcAttr = processAttributes()
	return cmd
}

// serverOwner returns the user of the server if this process is root, because root may not run it.
func serverOwner() *owner {
	if os.Geteuid() != 0 {
		return nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, _ := strconv.ParseUint(u.Uid, 10, 32)
		gid, _ := strconv.ParseUint(u.Gid, 10, 32)
		return &owner{uint32(uid), uint32(gid)}
	}
	return nil
}

type owner struct{ uid, gid uint32 }

func freePort() (uint16, error) {
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close() //nolint:errcheck // only its number is needed
	return netip.MustParseAddrPort(l.Addr().String()).Port(), nil
}

// Start starts the server on its socket and on a port of 127.0.0.1, and waits until it answers.
func (c *Cluster) Start() error {
	args := []string{"-D", c.data(), "-k", c.dir, "-h", "127.0.0.1", "-p", strconv.Itoa(int(c.port))}
	for _, s := range slices.Concat([]string{
		"fsync=off", "full_page_writes=off", "max_connections=300", "shared_buffers=64MB",
	}, c.settings) {
		args = append(args, "-c", s)
	}
	log, err := os.OpenFile(filepath.Join(c.dir, "log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer log.Close() //nolint:errcheck // the server has its own descriptor
	c.process = c.command("postgres", args...)
	c.process.Stderr = log
	if err := processThread.run(c.process.Start); err != nil {
		return err
	}
	db, err := sql.Open("postgres", c.URL("postgres"))
	if err != nil {
		return err
	}
	defer db.Close() //nolint:errcheck // nothing was written
	for end := time.Now().Add(timeout); ; time.Sleep(10 * time.Millisecond) {
		err := db.PingContext(context.Background())
		if err == nil {
			return nil
		}
		if time.Now().After(end) {
			said, _ := os.ReadFile(log.Name())
			return fmt.Errorf("PostgreSQL does not answer: %w\n%s", err, said)
		}
	}
}

// Stop stops the server; [Cluster.Start] starts it again. If immediate is true, it stops as if killed.
func (c *Cluster) Stop(immediate bool) {
	if c.process == nil || c.process.Process == nil { // or it did not start
		return
	}
	how := interrupt
	if immediate {
		how = quit
	}
	_ = c.process.Process.Signal(how)
	killer := time.AfterFunc(timeout, func() { _ = c.process.Process.Kill() })
	_, _ = c.process.Process.Wait()
	killer.Stop()
	c.process = nil
}

func (c *Cluster) remove() {
	c.Stop(true)
	_ = os.RemoveAll(c.dir)
}

// URL returns the URL of a database of the cluster, through its socket.
func (c *Cluster) URL(database string) string {
	q := url.Values{"host": {c.dir}, "port": {strconv.Itoa(int(c.port))}, "user": {"postgres"}, "sslmode": {"disable"}}
	return "postgres:///" + database + "?" + q.Encode()
}

// Address returns the server's host and port. Connections to it have the user postgres.
func (c *Cluster) Address() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(int(c.port))) }

// Database returns the URL of a new, empty database, which is dropped when the test ends.
func (c *Cluster) Database(tb testing.TB) string {
	tb.Helper()
	return c.create(tb, "")
}

// Copy returns the URL of a new copy of a database, to which there may be no connection.
func (c *Cluster) Copy(tb testing.TB, of string) string {
	tb.Helper()
	u, err := url.Parse(of)
	if err != nil {
		tb.Fatal(err)
	}
	return c.create(tb, " TEMPLATE "+u.Path[1:])
}

// Encoded returns the URL of a new, empty database in another encoding than UTF-8, such as LATIN1.
func (c *Cluster) Encoded(tb testing.TB, encoding string) string {
	tb.Helper()
	return c.create(tb, " TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C' ENCODING '"+encoding+"'")
}

func (c *Cluster) create(tb testing.TB, how string) string {
	tb.Helper()
	name := "test" + strconv.FormatInt(c.databaseCount.Add(1), 10)
	c.Exec(tb, "postgres", "CREATE DATABASE "+name+how)
	tb.Cleanup(func() {
		if c.process != nil {
			c.Exec(tb, "postgres", "DROP DATABASE "+name+" WITH (FORCE)")
		}
	})
	return c.URL(name)
}

// Exec runs a statement in a database.
func (c *Cluster) Exec(tb testing.TB, database, statement string) {
	tb.Helper()
	db, err := sql.Open("postgres", c.URL(database))
	if err != nil {
		tb.Fatal(err)
	}
	defer db.Close() //nolint:errcheck // the statement's error matters
	if _, err := db.ExecContext(context.Background(), statement); err != nil {
		tb.Fatalf("%s: %v", statement, err)
	}
}
