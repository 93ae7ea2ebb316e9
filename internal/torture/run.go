package torture

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// violate reports what was found outside of rooms.
func (w *world) violate(v Violation) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.violations = append(w.violations, v)
}

// found tells whether one of the rules was violated so far.
func (w *world) found(rules []string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.ContainsFunc(w.violations, func(v Violation) bool { return slices.Contains(rules, v.Rule) })
}

// runner is one run.
type runner struct {
	w       *world
	nemesis *nemesis
	log     *slog.Logger
	dir     string
	url     string // of the database, for looking into it; empty: SQLite
	own     bool   // the database was empty at the beginning
	stop    func() // ends the injection of faults
	help    string // what the server says of its flags
	failed  atomic.Int64
	rooms   atomic.Int64
	events  atomic.Int64
	writing sync.Mutex
}

// Run does what the configuration says, and reports what it found. An error tells that the run could not be made.
func Run(ctx context.Context, cfg Config, log *slog.Logger) (*Report, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	report, err := once(ctx, cfg, log)
	if err != nil || !cfg.Shrink {
		return report, err
	}
	for range 3 { // a shorter run is easier to understand
		v := report.first()
		shorter := cfg
		shorter.Shrink = false
		if v == nil {
			return report, nil
		}
		if shorter.Duration = min(v.When.Round(time.Second), cfg.Duration/2); shorter.Duration < time.Second {
			return report, nil
		}
		log.Info("trying a shorter run", "duration", shorter.Duration)
		again, err := once(ctx, shorter, log)
		if err != nil || !again.has(v.Rule) {
			return report, err
		}
		report, cfg = again, shorter
	}
	return report, nil
}

func once(ctx context.Context, cfg Config, log *slog.Logger) (_ *Report, err error) {
	declared, err := readContract()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "torture")
	if err != nil {
		return nil, err
	}
	w := &world{
		clock: clock{time.Now()}, cfg: cfg, contract: declared, nonce: strings.ToLower(rand.Text()[:10]),
		injected: map[string]map[string]int64{}, times: map[string]int64{}, using: map[string]int{},
	}
	f := newForker()
	r := &runner{w: w, log: log, dir: dir, nemesis: &nemesis{
		w: w, forker: f, dice: newDice(cfg.Seed, "nemesis"), history: &history{clock: w.clock}, file: filepath.Join(dir, "restante.db"),
	}}
	r.keep(r.nemesis.history)
	defer close(f.tasks)
	defer func() { r.clear(err != nil && ctx.Err() == nil) }()
	for _, step := range []func(context.Context) error{r.prepare, r.play, r.conclude} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	return r.report(), nil
}

// keep has a history written to where the configuration says.
func (r *runner) keep(h *history) {
	if r.w.cfg.History != nil {
		h.also, h.lock = r.w.cfg.History, &r.writing
	}
}

// prepare starts the database and the servers.
func (r *runner) prepare(ctx context.Context) error {
	cfg := &r.w.cfg
	program := cfg.Server
	if program == "" {
		program = filepath.Join(r.dir, "restante")
		module, err := exec.CommandContext(ctx, "go", "list", "-m").Output()
		if err != nil {
			return fmt.Errorf("--server names no program, and this is no module to build one from: %w", err)
		}
		if err := r.build(ctx, strings.TrimSpace(string(module)), program); err != nil {
			return err
		}
	}
	help, err := exec.CommandContext(ctx, program, "--help").CombinedOutput() // #nosec G204 -- the program to test
	if err != nil {
		return fmt.Errorf("%s --help: %w: %s", program, err, help)
	}
	r.help = string(help)
	database := r.nemesis.file
	switch {
	case cfg.ownCluster():
		c, err := newCluster(r.nemesis.forker, cfg.Standby, cfg.PgBouncer)
		if err != nil {
			return err
		}
		r.nemesis.cluster, r.own = c, true
		database, r.url = databaseURL(c.address(), databaseName), databaseURL(c.proxy.address(), databaseName)
	case cfg.Database != "":
		database, r.url = cfg.Database, cfg.Database
	default:
		r.own = true
	}
	for i := range cfg.Replicas {
		s, err := r.server(program, database, i)
		if err != nil {
			return err
		}
		r.w.servers = append(r.w.servers, s)
		if err := s.start(r.nemesis.forker); err != nil {
			return err
		}
		if err := s.ready(ctx); err != nil {
			return err
		}
	}
	return nil
}

// build builds the server.
func (r *runner) build(ctx context.Context, module, program string) error {
	if steps(&r.w.cfg) {
		return r.buildStepped(ctx, module, program)
	}
	build := exec.CommandContext(ctx, "go", "build", "-o", program, module) // #nosec G204 -- this module
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("building the server: %w: %s", err, out)
	}
	return nil
}

// server is one server with its proxies. Its limits are those of many addresses, as all clients here have one.
func (r *runner) server(program, database string, i int) (*server, error) {
	cfg := &r.w.cfg
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	s := &server{program: program, address: address, log: filepath.Join(r.dir, fmt.Sprintf("server%d.log", i)), proxies: map[string]*proxy{}}
	s.args = []string{"--listen=" + address, "--database=" + database, "--heartbeat-interval=2s", "--drain=100ms", "--log-format=json", "--prune-interval=1s"}
	for _, flag := range []string{"--request-rate=0", "--claim-rate=0", "--max-connections=1000000", "--max-nameplates-per-address=1000000", "--max-bytes-per-address=1000000000000", "--nameplate-rest=0s", "--max-per-address=100000", "--max-sockets=100000"} {
		if name, _, _ := strings.Cut(flag, "="); strings.Contains(r.help, name) {
			s.args = append(s.args, flag)
		}
	}
	if cfg.Life > 0 {
		s.args = append(s.args, "--mailbox-ttl="+cfg.Life.String(), "--session-grace="+cfg.Life.String(), "--boot-grace="+cfg.Life.String())
	}
	if cfg.Life == 0 { // nothing expires, but what was retired is removed by pruning, which waits for this
		s.args = append(s.args, "--boot-grace=1s")
	}
	if cfg.PgBouncer {
		s.args = append(s.args, "--notify=poll")
	}
	s.args = append(s.args, cfg.Flags...)
	for _, t := range Transports {
		if s.proxies[t], err = newProxy(newDice(cfg.Seed, fmt.Sprintf("proxy %d %s", i, t)), address); err != nil {
			return nil, err
		}
		s.proxies[t].overtake = t != Wormhole // whose commands have no numbers: an open that comes after the close opens again
	}
	return s, nil
}

// play has rooms talk while faults are injected, and lets the last ones finish without any.
func (r *runner) play(ctx context.Context) error {
	harming, stop := context.WithTimeout(ctx, r.w.cfg.Duration)
	defer stop()
	r.stop = stop
	harmed := make(chan error, 1)
	go func() {
		err := r.nemesis.harm(harming)
		stop()
		harmed <- err
	}()
	var wg sync.WaitGroup
	if r.w.cfg.Soak != nil {
		wg.Go(func() { r.soaker().run(harming, r.w.cfg.Soak, r.w.cfg.Every) })
	}
	var numbers atomic.Int64
	for range r.w.cfg.Rooms {
		wg.Go(func() {
			for harming.Err() == nil {
				r.room(ctx, int(numbers.Add(1)), harming.Done())
			}
		})
	}
	err := <-harmed
	r.log.Info("the faults are over", "rooms", numbers.Load())
	wg.Wait()
	return errors.Join(err, ctx.Err())
}

// soaker samples the first server, and the size of the database.
func (r *runner) soaker() *soaker {
	s := &soaker{w: r.w}
	switch {
	case r.url == "":
		s.file = r.nemesis.file
	case r.nemesis.cluster != nil:
		s.size = func() float64 {
			n, err := r.nemesis.cluster.primary.exec("SELECT pg_database_size('" + databaseName + "')")
			if err != nil {
				return 0 // it is down
			}
			return float64(n)
		}
	}
	return s
}

// room plays one room and checks its history.
func (r *runner) room(ctx context.Context, number int, ending <-chan struct{}) {
	began := r.w.now()
	room := newRoom(r.w, number, r.keep)
	err := room.run(ctx, ending)
	if ctx.Err() != nil {
		return
	}
	r.rooms.Add(1)
	events, faults := room.h.all(), r.nemesis.history.all()
	r.events.Add(int64(len(events)))
	r.w.wakes.count(events, faults)
	if slices.Contains(r.w.cfg.Until, ruleWoken) && len(r.w.wakes.judge()) > 0 {
		r.stop()
	}
	r.w.tallied.count(events)
	found := check(room.name, events, faults, r.w.cfg.Replicas)
	if err != nil {
		r.failed.Add(1)
		r.w.apps.change(room.app, func(m *made) { m.maybe += 10; m.nameplates -= 2; m.mailboxes -= 2 }) // it is not known how far it came
		session, _, _ := strings.Cut(err.Error(), ":")
		found = append(found, Violation{Rule: ruleServed, What: err.Error(), Room: room.name, Session: session, When: r.w.now()})
	}
	seen := map[string]bool{}
	for _, v := range found {
		if seen[v.Rule+v.Session] { // the first one is the cause of the others
			continue
		}
		seen[v.Rule+v.Session] = true
		if began < time.Duration(r.nemesis.lost.Load()) && !slices.Contains([]string{ruleContract, ruleInternal, ruleTwo}, v.Rule) {
			v.Excused = "an asynchronous standby was promoted, and commits that it had not received are gone"
		}
		v.History = story(shortest(v, events, faults, r.w.cfg.Replicas), faults)
		r.w.violate(v)
		if slices.Contains(r.w.cfg.Until, v.Rule) {
			r.stop()
		}
		r.log.Warn("violation", "rule", v.Rule, "room", v.Room, "session", v.Session, "what", short(v.What))
	}
}

// padding is how much longer than their lives things may be kept: signs of life are written down once a
// minute, and what is not known of a server that was killed counts for those it served.
const padding = 100 * time.Second

// conclude waits until nothing is stored, stops the servers, and looks into the database.
func (r *runner) conclude(ctx context.Context) error {
	cfg := &r.w.cfg
	for _, v := range append(r.w.shared(), r.w.wakes.judge()...) {
		r.w.violate(v)
	}
	r.log.Info("messages to clients that waited", "all", r.w.wakes.all.Load(), "late", r.w.wakes.late.Load())
	if err := r.nemesis.allReady(ctx); err != nil {
		return err
	}
	complete := r.own && (cfg.Life > 0 || r.failed.Load() == 0)
	if complete && !r.w.found(cfg.Until) {
		began := time.Now()
		r.w.emptied(ctx, 4*cfg.Life+padding)
		r.log.Info("nothing is stored any more, or too much", "after", time.Since(began))
		if err := pause(ctx, 3*time.Second); err != nil { // pruning runs each second, and removes the logs of retired mailboxes
			return err
		}
	}
	for _, s := range r.w.servers {
		if !s.stop(syscall.SIGTERM, 30*time.Second) {
			r.w.violate(Violation{Rule: ruleStops, What: "it still ran 30 s after SIGTERM", When: r.w.now()})
		}
	}
	if r.nemesis.lost.Load() > 0 {
		return nil // there may be anything
	}
	driver, source, placeholder := "sqlite", "file:"+r.nemesis.file, "?"
	if r.url != "" {
		driver, source, placeholder = "postgres", r.url, "$1"
	}
	db, err := sql.Open(driver, source)
	if err != nil {
		return err
	}
	defer db.Close() //nolint:errcheck // it was only read
	return r.w.inspect(ctx, db, placeholder, complete)
}

// clear ends all processes and removes what they wrote, but for the logs of a run that failed or found something.
func (r *runner) clear(failed bool) {
	for _, s := range r.w.servers {
		s.signal(syscall.SIGCONT)
		s.kill()
		for _, p := range s.proxies {
			p.close()
		}
	}
	if r.nemesis.cluster != nil {
		r.nemesis.cluster.remove()
	}
	if !failed && len(r.w.violations) == 0 {
		_ = os.RemoveAll(r.dir)
	}
}
