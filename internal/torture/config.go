package torture

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// The transports of clients.
const (
	Poll     = "poll"     // long-polls
	Stream   = "stream"   // server-sent events
	Socket   = "socket"   // the session's WebSocket
	Wormhole = "wormhole" // the magic-wormhole protocol
	Keyed    = "keyed"    // requests without a session, by an app and a secret
)

// Transports are all transports.
var Transports = []string{Poll, Stream, Socket, Wormhole, Keyed}

// Config is what a run is to do.
type Config struct {
	Server    string        // the server's program; empty: it is built from the module in the working directory
	Flags     []string      // more flags of the server
	Database  string        // a PostgreSQL URL; "postgres": a cluster is started; empty: a new SQLite file
	Standby   string        // "sync" or "async": the cluster has a streaming standby that faults promote; else empty
	PgBouncer bool          // whether the servers reach the cluster through PgBouncer
	Replicas  int           // servers on one database
	Seed      uint64        // repeats the choices
	Duration  time.Duration // how long faults are injected; clients need some seconds more to finish
	Life      time.Duration // how long mailboxes and sessions live unattended; 0: as long as by default
	Rooms     int           // conversations at a time, with two or three clients each
	Transport []string      // the transports of the clients
	Faults    []string      // names of faults, see [Faults]; empty: all that fit the database
	Without   []string      // what clients do not do: "tab" (an older copy of the state), "twin" (two handshakes at once)
	Patience  time.Duration // how long a client tries on before it says that it is stuck; outages are shorter; by default 30 s
	Until     []string      // the run ends at the first violation of one of these rules
	Shrink    bool          // whether a failed run is tried again with shorter durations
	Soak      io.Writer     // where samples of the first server go, as CSV; nil: nowhere
	Every     time.Duration // how often it is sampled; by default 5 s
	History   io.Writer     // where all events go as lines of JSON; nil: nowhere
}

// check completes the configuration, and tells what is wrong with it.
func (c *Config) check() error {
	if c.Replicas == 0 {
		c.Replicas = 1
	}
	if c.Rooms == 0 {
		c.Rooms = 4
	}
	if c.Every == 0 {
		c.Every = 5 * time.Second
	}
	if c.Patience == 0 {
		c.Patience = 30 * time.Second
	}
	if len(c.Transport) == 0 {
		c.Transport = Transports
	}
	for _, t := range c.Transport {
		if !slices.Contains(Transports, t) {
			return fmt.Errorf("transport %q is none of %s", t, strings.Join(Transports, ", "))
		}
	}
	for _, f := range c.Faults {
		if !slices.ContainsFunc(faults, func(k fault) bool { return k.name == f }) && f != cutting && f != noFault {
			return fmt.Errorf("fault %q is none of %s", f, strings.Join(FaultNames(), ", "))
		}
	}
	switch {
	case steps(c) && c.Server != "":
		return errors.New("a clock can be set only in a server that is built for it: leave --server out")
	case c.Replicas > 1 && c.Database == "":
		return errors.New("several replicas need a PostgreSQL database: --database=postgres starts one")
	case c.ownCluster() || c.Standby == "" && !c.PgBouncer:
	default:
		return errors.New("a standby and PgBouncer need a cluster of our own: --database=postgres")
	}
	return nil
}

func (c *Config) ownCluster() bool { return c.Database == "postgres" }

// Engine is the database engine.
func (c *Config) engine() string {
	if c.Database == "" {
		return "sqlite"
	}
	return "postgresql"
}

// command is the command line that repeats the run.
func (c *Config) command() string {
	words := []string{
		"go run ./cmd/torture", fmt.Sprintf("--seed=%d", c.Seed), "--duration=" + c.Duration.String(),
		fmt.Sprintf("--rooms=%d", c.Rooms), "--transports=" + strings.Join(c.Transport, ","),
	}
	if c.Server != "" {
		words = append(words, "--server="+c.Server)
	}
	if c.Database != "" {
		words = append(words, "--database="+c.Database, fmt.Sprintf("--replicas=%d", c.Replicas))
	}
	if c.Standby != "" {
		words = append(words, "--standby="+c.Standby)
	}
	if c.PgBouncer {
		words = append(words, "--pgbouncer")
	}
	if len(c.Faults) > 0 {
		words = append(words, "--faults="+strings.Join(c.Faults, ","))
	}
	if len(c.Without) > 0 {
		words = append(words, "--without="+strings.Join(c.Without, ","))
	}
	if c.Life > 0 {
		words = append(words, "--life="+c.Life.String())
	}
	return strings.Join(words, " ")
}
