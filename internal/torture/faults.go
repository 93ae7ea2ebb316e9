package torture

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	_ "modernc.org/sqlite" // the driver that locks a file from outside
)

// cutting is the fault that is always there: connections that are cut at any byte or delayed, and requests that arrive late.
const cutting = "cut"

// noFault, as the only name, has nothing injected.
const noFault = "none"

// fault is something that is done to the servers or to what they depend on.
type fault struct {
	name, what string
	fits       func(*Config) bool
	do         func(*nemesis, context.Context) error
}

// nemesis injects faults.
type nemesis struct {
	w       *world
	dice    *dice
	forker  *forker
	cluster *cluster
	history *history
	file    string       // the SQLite database
	lost    atomic.Int64 // when an asynchronous standby was promoted last, so that commits may be gone; 0: never
}

func always(*Config) bool       { return true }
func onSQLite(c *Config) bool   { return c.Database == "" }
func onPostgres(c *Config) bool { return c.ownCluster() }

// faults are all faults, but for the cut connections, which the proxies see to.
var faults = []fault{
	{"kill", "a server is killed (SIGKILL) and started again", always, (*nemesis).kill},
	{"pause", "a server is stopped (SIGSTOP) past deadlines, and goes on", always, (*nemesis).stopTheWorld},
	{"restart", "a server is asked to stop (SIGTERM), and started again", always, (*nemesis).restart},
	{"storm", "most connections are cut within their first bytes", always, (*nemesis).storm},
	{"sever", "all connections of clients are cut at once", always, (*nemesis).sever},
	{"hold", "nothing passes between clients and servers for a while", always, (*nemesis).hold},
	{"lock", "the database file is locked from outside", onSQLite, (*nemesis).lock},
	{"full", "the disk is full for a server", onSQLite, (*nemesis).full},
	{"readonly", "the database's files cannot be written any more", freezable, (*nemesis).readonly},
	{slowSync, "each fsync takes up to 0.6 s, for a while", slows, (*nemesis).slowSync},
	{step, "the storage's clock is set, forward or back by up to an hour", steps, (*nemesis).step},
	{"terminate", "all connections to the database are terminated", onPostgres, (*nemesis).terminate},
	{"crash", "PostgreSQL stops at once (immediate), and recovers", onPostgres, (*nemesis).crash},
	{"partition", "nothing passes between servers and database for a while", onPostgres, (*nemesis).partition},
	{"promote", "the primary is killed and its standby promoted", func(c *Config) bool { return c.Standby != "" }, (*nemesis).promote},
	{"pooler", "PgBouncer is killed and started again", func(c *Config) bool { return c.PgBouncer }, (*nemesis).pooler},
}

// FaultNames are the names of all faults.
func FaultNames() []string {
	names := []string{cutting}
	for _, f := range faults {
		names = append(names, f.name)
	}
	return names
}

// harm injects one fault after the other until the context ends. The choices depend on nothing but the seed.
func (n *nemesis) harm(ctx context.Context) error {
	var fit []fault
	for _, f := range faults {
		if f.fits(&n.w.cfg) && (len(n.w.cfg.Faults) == 0 || slices.Contains(n.w.cfg.Faults, f.name)) {
			fit = append(fit, f)
		}
	}
	if len(n.w.cfg.Faults) == 0 || slices.Contains(n.w.cfg.Faults, cutting) {
		n.rude(12)
		defer n.rude(0)
	}
	for len(fit) > 0 && pause(ctx, n.dice.between(200*time.Millisecond, 1500*time.Millisecond)) == nil {
		f := pick(n.dice, fit)
		e := &Event{Kind: Fault, At: n.w.now(), Session: "nemesis", Transport: f.name, Seq: none, Ack: none, Wanted: none}
		n.w.inject(f.name)
		// Not under the context: what was broken is mended before the end.
		if err := f.do(n, context.WithoutCancel(ctx)); err != nil {
			return fmt.Errorf("injecting %q: %w", f.name, err)
		}
		n.history.add(e)
	}
	<-ctx.Done()
	return nil
}

// rude sets how many connections out of a hundred are harmed.
func (n *nemesis) rude(percent int32) {
	n.proxies(func(p *proxy) { p.rude.Store(percent) })
}

func (n *nemesis) proxies(f func(*proxy)) {
	for _, s := range n.w.servers {
		for _, p := range s.proxies {
			f(p)
		}
	}
}

func (n *nemesis) kill(ctx context.Context) error {
	s := pick(n.dice, n.w.servers)
	s.kill()
	_ = pause(ctx, n.dice.between(0, 300*time.Millisecond))
	if err := s.start(n.forker); err != nil {
		return err
	}
	if n.dice.chance(25) { // and once more, while it starts
		_ = pause(ctx, n.dice.between(0, 100*time.Millisecond))
		s.kill()
		if err := s.start(n.forker); err != nil {
			return err
		}
	}
	return s.ready(ctx)
}

func (n *nemesis) stopTheWorld(ctx context.Context) error {
	s := pick(n.dice, n.w.servers)
	s.signal(syscall.SIGSTOP)
	_ = pause(ctx, n.dice.between(200*time.Millisecond, 5*time.Second))
	s.signal(syscall.SIGCONT)
	return s.ready(ctx)
}

func (n *nemesis) restart(ctx context.Context) error {
	s := pick(n.dice, n.w.servers)
	if !s.stop(syscall.SIGTERM, 30*time.Second) {
		n.w.violate(Violation{Rule: ruleStops, What: "it still ran 30 s after SIGTERM", When: n.w.now()})
	}
	if err := s.start(n.forker); err != nil {
		return err
	}
	return s.ready(ctx)
}

func (n *nemesis) storm(ctx context.Context) error {
	before := int32(0)
	n.proxies(func(p *proxy) { before = p.rude.Swap(70) })
	err := pause(ctx, n.dice.between(500*time.Millisecond, 2*time.Second))
	n.rude(before)
	return err
}

func (n *nemesis) sever(context.Context) error {
	n.proxies((*proxy).sever)
	return nil
}

func (n *nemesis) hold(ctx context.Context) error {
	n.proxies(func(p *proxy) { p.paused.Add(1) })
	err := pause(ctx, n.dice.between(200*time.Millisecond, 3*time.Second))
	n.proxies(func(p *proxy) { p.paused.Add(-1) })
	return err
}

func (n *nemesis) lock(ctx context.Context) error {
	db, err := sql.Open("sqlite", "file:"+n.file+"?_pragma=busy_timeout(5000)")
	if err != nil {
		return err
	}
	defer db.Close() //nolint:errcheck // nothing was written
	db.SetMaxOpenConns(1)
	if _, err := db.ExecContext(ctx, "BEGIN EXCLUSIVE"); err != nil {
		return nil // the server would not let go of it
	}
	_ = pause(ctx, n.dice.between(200*time.Millisecond, 7*time.Second))
	_, err = db.ExecContext(ctx, "ROLLBACK")
	return errors.Join(err, n.w.servers[0].ready(ctx))
}

// full limits the size of files that a server may write, which is what a used-up quota does.
func (n *nemesis) full(ctx context.Context) error {
	s := n.w.servers[0]
	if err := limitFiles(ctx, s, "4096"); err != nil {
		return err
	}
	_ = pause(ctx, n.dice.between(300*time.Millisecond, 3*time.Second))
	return errors.Join(limitFiles(ctx, s, "unlimited"), s.ready(ctx))
}

func limitFiles(ctx context.Context, s *server, to string) error {
	p, _ := s.process()
	out, err := exec.CommandContext(ctx, "prlimit", "--pid", strconv.Itoa(p.Pid), "--fsize="+to+":unlimited").CombinedOutput() // #nosec G204 -- numbers
	if err != nil {
		return fmt.Errorf("prlimit: %w: %s", err, out)
	}
	return nil
}

// freezable tells whether files can be made immutable, which is what a disk that becomes read-only does to those that are open. It
// needs root and a file system such as ext4.
func freezable(c *Config) bool {
	if !onSQLite(c) || os.Geteuid() != 0 {
		return false
	}
	file, err := os.CreateTemp("", "torture")
	if err != nil {
		return false
	}
	defer os.Remove(file.Name()) //nolint:errcheck // it is empty
	defer file.Close()           //nolint:errcheck // as above
	if freeze(context.Background(), true, file.Name()) != nil {
		return false
	}
	_, written := file.WriteString("x")
	return freeze(context.Background(), false, file.Name()) == nil && written != nil
}

func freeze(ctx context.Context, on bool, files ...string) error {
	flag := "-i"
	if on {
		flag = "+i"
	}
	out, err := exec.CommandContext(ctx, "chattr", append([]string{flag}, files...)...).CombinedOutput() // #nosec G204 -- files of ours
	if err != nil {
		return fmt.Errorf("chattr: %w: %s", err, out)
	}
	return nil
}

func (n *nemesis) readonly(ctx context.Context) error {
	files := []string{n.file, n.file + "-wal"}
	span := n.dice.between(300*time.Millisecond, 3*time.Second)
	if frozen := freeze(ctx, true, files...) == nil; !frozen { // there is no log at the moment
		_ = freeze(ctx, false, files...)
		return nil
	}
	_ = pause(ctx, span)
	return errors.Join(freeze(ctx, false, files...), n.w.servers[0].ready(ctx))
}

func (n *nemesis) terminate(context.Context) error {
	_, err := n.cluster.primary.exec("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = '" + databaseName + "'")
	return err
}

func (n *nemesis) crash(ctx context.Context) error {
	p := n.cluster.primary
	p.stop(syscall.SIGQUIT)
	_ = pause(ctx, n.dice.between(0, time.Second))
	if err := p.start(p.args...); err != nil {
		return err
	}
	return n.allReady(ctx)
}

func (n *nemesis) allReady(ctx context.Context) error {
	for _, s := range n.w.servers {
		if err := s.ready(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (n *nemesis) partition(ctx context.Context) error {
	n.cluster.proxy.paused.Add(1)
	_ = pause(ctx, n.dice.between(200*time.Millisecond, 6*time.Second))
	n.cluster.proxy.paused.Add(-1)
	return n.allReady(ctx)
}

func (n *nemesis) promote(ctx context.Context) error {
	if err := n.cluster.promote(); err != nil {
		return err
	}
	err := n.allReady(ctx)
	if n.cluster.mode == "async" {
		n.lost.Store(int64(n.w.now()))
	}
	return err
}

func (n *nemesis) pooler(ctx context.Context) error {
	n.cluster.bouncer.kill()
	_ = pause(ctx, n.dice.between(0, 500*time.Millisecond))
	if err := n.cluster.bouncer.start(); err != nil {
		return err
	}
	return n.allReady(ctx)
}
