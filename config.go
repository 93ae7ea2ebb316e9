package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"net/netip"
	"os"
	"path"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"restante/handlers"
	"restante/handlers/welcome"
	"restante/internal/logqueue"
	"restante/rendezvous"
)

// Config is everything that an operator decides. Each field is a flag and an environment variable: RESTANTE_ and the
// flag's name.
type Config struct {
	Listening

	Database            string `group:"Where" default:"./restante.db" placeholder:"FILE|URL" help:"Where everything is stored: a SQLite file, which is created if it does not exist; or postgres://user:password@host/database, for any number of servers at once (${default})."`
	DatabaseConnections int    `group:"Where" default:"16" help:"The most connections to PostgreSQL, besides two for notifications (${default})."`
	Notify              string `group:"Where" enum:"listen,poll" default:"listen" help:"How servers on one PostgreSQL database notify each other: listen, with LISTEN and NOTIFY; or poll, which reads change counters and works through a pooler that gives each transaction another connection (${default})."`

	PruneInterval time.Duration `group:"How long things live" default:"5m" help:"The time between two runs of pruning (${default})."`
	MailboxTTL    time.Duration `group:"How long things live" name:"mailbox-ttl" default:"11m" help:"How long a mailbox is kept after its last change, and after the last sign of life of a client that holds it (${default})."`
	SessionGrace  time.Duration `group:"How long things live" default:"10m" help:"How long a session waits for a client that is silent (${default})."`
	MaxTTL        time.Duration `group:"How long things live" name:"max-ttl" default:"24h" help:"The longest life that a client may ask for, of a mailbox or a session (${default})."`
	TombstoneTTL  time.Duration `group:"How long things live" name:"tombstone-ttl" default:"24h" help:"How long the server remembers that a session has ended (${default})."`
	BootGrace     time.Duration `group:"How long things live" default:"11m" help:"How long nothing expires after a start, an outage of the storage or a pause of the process (${default})."`

	HeartbeatInterval   time.Duration `group:"Sessions" default:"25s" help:"The longest that a receive is held without a frame; keep it below the timeouts of proxies (${default})."`
	HeartbeatsUntilDead int           `group:"Sessions" default:"2" help:"Heartbeat intervals of silence after which a client counts as gone (${default})."`
	RejectClient        []string      `group:"Sessions" placeholder:"PATTERN" help:"Refuse clients of both protocols by their client version, as implementation/version; * stands for any characters, / among them, and ? for one: for example 'acme/1.*'."`

	RequestRate    float64        `group:"Limits" default:"200" help:"Requests of an address in a second; 0 for no limit (${default})."`
	RequestBurst   int            `group:"Limits" default:"400" help:"Requests that an address may make at once (${default})."`
	MaxBody        int64          `group:"Limits" default:"262144" help:"Bytes of a request's body (${default})."`
	MaxSessions    int64          `group:"Limits" default:"1000000" help:"Live sessions in all (${default})."`
	MaxPerAddress  int            `group:"Limits" default:"1000" help:"Live sessions of an address (${default})."`
	MaxNameplates  int            `group:"Limits" default:"16" help:"Nameplates that a side may hold (${default})."`
	MaxMailboxes   int            `group:"Limits" default:"64" help:"Mailboxes that a side may be in (${default})."`
	MaxMessages    int64          `group:"Limits" default:"100000" help:"Messages in a mailbox (${default})."`
	MaxBytes       int64          `group:"Limits" default:"67108864" help:"Bytes of the messages in a mailbox (${default})."`
	MaxWindow      int64          `group:"Limits" default:"10000" help:"Unacknowledged frames of a session (${default})."`
	MaxWindowBytes int64          `group:"Limits" default:"16777216" help:"Bytes of the unacknowledged frames of a session (${default})."`
	MaxSockets     int            `group:"Limits" default:"200" help:"Sockets and event streams of an address (${default})."`
	IdentifyWithin time.Duration  `group:"Limits" default:"5s" help:"The time in which the client of a socket must identify itself (${default}). A wormhole client that works for a permission has ten minutes before it begins."`
	SlowReader     time.Duration  `group:"Limits" default:"10s" help:"How long a client may make no progress in reading an answer (${default})."`
	BasePath       string         `group:"Where" placeholder:"PATH" help:"The path under which clients reach the server, for example /mail, if a proxy puts it below one. Requests are taken with the path and without it. A trusted proxy may also name the path in X-Forwarded-Prefix."`
	CORSOrigins    []string       `group:"Limits" name:"cors-origins" placeholder:"ORIGIN" help:"Origins whose pages may use the server from a browser, besides its own: for example https://app.example,https://*.example.org; * for all."`
	TrustedProxies []netip.Prefix `group:"Limits" placeholder:"CIDR" help:"Proxies whose --forwarded-header, X-Forwarded-Host and X-Forwarded-Prefix are believed, for example 127.0.0.0/8,::1/128."`
	Budgets

	Motd             string `group:"What clients are told" help:"A message that clients show to people."`
	AdvertiseVersion string `group:"What clients are told" placeholder:"VERSION" help:"The client version that people should have."`
	SignalError      string `group:"What clients are told" placeholder:"TEXT" help:"Make every client end with this text."`
	DisallowList     bool   `group:"What clients are told" help:"List no nameplates."`
	HashcashBits     int    `group:"What clients are told" default:"0" help:"Ask clients for a hashcash stamp of this many bits; 0 asks for none. Most wormhole clients cannot make one."`
	Settings         string `group:"What clients are told" placeholder:"FILE" help:"A JSON file with any of motd, advertiseVersion, signalError, disallowList and hashcashBits. It overrides these flags and is read again at SIGHUP."`

	Admission
	Tokens
	Administration

	Webhooks  string        `group:"Operation" placeholder:"FILE" help:"A JSON file that says which app is told of messages and retired mailboxes at which address, with which secrets. It is read again at SIGHUP. 'restante webhooks check FILE' finds mistakes in it."`
	Parking   bool          `group:"Operation" default:"true" negatable:"" help:"Let clients wait without a goroutine and buffers of their own, where the system allows it. Use --no-parking to find out whether that causes a problem."`
	Drain     time.Duration `group:"Operation" default:"2s" help:"The time over which the release of waiting clients is spread at a stop (${default})."`
	BlurUsage time.Duration `group:"Operation" default:"0s" help:"Round the start times in usage records down to a multiple of this; 0 keeps them (${default})."`
	LogFormat string        `group:"Operation" enum:"auto,text,json" default:"auto" help:"text, json, or auto: text on a terminal, JSON otherwise (${default})."`
	LogLevel  slog.Level    `group:"Operation" default:"info" help:"debug, info, warn or error (${default})."`

	// Ready, if set, is called with the addresses on which the server listens, once it does.
	Ready func([]net.Addr) `kong:"-"`
}

// validate refuses what cannot work, before anything is changed.
func (c *Config) validate() error {
	for name, d := range map[string]time.Duration{
		"prune-interval": c.PruneInterval, "mailbox-ttl": c.MailboxTTL, "session-grace": c.SessionGrace, "max-ttl": c.MaxTTL,
		"tombstone-ttl": c.TombstoneTTL, "heartbeat-interval": c.HeartbeatInterval,
	} {
		if d < time.Second {
			return fmt.Errorf("--%s is %v; it must be at least 1s", name, d)
		}
	}
	switch {
	case c.HeartbeatsUntilDead < 1:
		return errors.New("--heartbeats-until-dead must be at least 1")
	case c.BootGrace < 0 || c.Drain < 0 || c.BlurUsage < 0:
		return errors.New("--boot-grace, --drain and --blur-usage cannot be negative")
	case c.BlurUsage > 0 && c.BlurUsage < time.Millisecond:
		return errors.New("--blur-usage must be at least 1ms, or 0")
	case !isRate(c.RequestRate):
		return errors.New("--request-rate must be a number, and cannot be negative")
	case c.RequestRate > 0 && c.RequestBurst < 1:
		return errors.New("--request-burst must be at least 1 while there is a --request-rate")
	case min(c.MaxBody, c.MaxSessions, c.MaxMessages, c.MaxBytes, c.MaxWindow, c.MaxWindowBytes) < 1 ||
		min(c.MaxPerAddress, c.MaxNameplates, c.MaxMailboxes, c.MaxSockets) < 1 || min(c.IdentifyWithin, c.SlowReader) < time.Millisecond:
		return errors.New("limits must be at least 1")
	case isOtherURL(c.Database):
		kind, _, _ := strings.Cut(c.Database, "://")
		return fmt.Errorf("--database %s://…: that kind is not known here; give a path such as ./restante.db, or postgres://…", kind)
	case c.DatabaseConnections < 1:
		return errors.New("--database-connections must be at least 1")
	}
	if err := c.validateListening(); err != nil {
		return err
	}
	if err := c.validateAdmin(); err != nil {
		return err
	}
	if err := c.tokenConfig().Check(); err != nil {
		return err
	}
	if err := c.validateBudgets(); err != nil {
		return err
	}
	if err := handlers.CheckBasePath(c.BasePath); err != nil {
		return fmt.Errorf("--base-path %q: %w", c.BasePath, err)
	}
	for _, origin := range c.CORSOrigins {
		if err := handlers.CheckOrigin(origin); err != nil {
			return fmt.Errorf("--cors-origins %q: %w", origin, err)
		}
	}
	for _, pattern := range c.RejectClient {
		if _, err := path.Match(pattern, ""); err != nil {
			return fmt.Errorf("--reject-client %q is not a pattern", pattern)
		}
	}
	return nil
}

// isRate reports whether there can be so many things in a time: neither infinity nor what is no number can be.
func isRate(rate float64) bool { return rate >= 0 && !math.IsInf(rate, 1) }

// logger returns the log. Nothing waits for what reads it: see [logqueue]. end passes on the lines that are left, but does not
// wait long.
func (c *Config) logger(to *os.File) (log *slog.Logger, end func()) {
	text := c.LogFormat == "text"
	if c.LogFormat == "auto" {
		info, err := to.Stat()
		text = err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	direct := slog.New(c.logHandler(to, text))
	queue := logqueue.New(to, func(dropped int) {
		direct.Warn("lines of the log are missing", "lines", dropped, "do", "let what takes in the log read faster")
	})
	return slog.New(c.logHandler(queue, text)), queue.Close
}

// logHandler returns what writes the lines of the log, as text or as JSON.
func (c *Config) logHandler(to io.Writer, text bool) slog.Handler {
	options := &slog.HandlerOptions{Level: c.LogLevel, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Value.Kind() == slog.KindDuration {
			a.Value = slog.StringValue(a.Value.Duration().String()) // JSON has nanoseconds otherwise
		}
		return a
	}}
	if text {
		return slog.NewTextHandler(to, options)
	}
	return slog.NewJSONHandler(to, options)
}

// policy returns the configuration of the service.
func (c *Config) policy() rendezvous.Config {
	p := rendezvous.DefaultConfig()
	p.HeartbeatInterval, p.HeartbeatsUntilDead = c.HeartbeatInterval, c.HeartbeatsUntilDead
	p.SessionGrace, p.MailboxTTL, p.MaxTTL = c.SessionGrace, c.MailboxTTL, max(c.MaxTTL, c.SessionGrace, c.MailboxTTL)
	p.TombstoneTTL, p.BootGrace, p.PruneInterval = c.TombstoneTTL, c.BootGrace, c.PruneInterval
	p.DrainSpan, p.Blur = c.Drain, c.BlurUsage
	p.ClientTimeout = 2*c.HeartbeatInterval + 2*c.HeartbeatInterval/5
	p.Limits.Sessions, p.Limits.AddressSessions = c.MaxSessions, c.MaxPerAddress
	c.budget(&p, c.RequestRate)
	p.Limits.Nameplates, p.Limits.Mailboxes = c.MaxNameplates, c.MaxMailboxes
	p.Limits.MailboxMessages, p.Limits.MailboxBytes = c.MaxMessages, c.MaxBytes
	p.Limits.WindowFrames, p.Limits.WindowBytes = c.MaxWindow, c.MaxWindowBytes
	return p
}

// limits returns the limits of requests and connections.
func (c *Config) limits() handlers.Limits {
	l := handlers.DefaultLimits()
	l.Body, l.Rate, l.Burst = c.MaxBody, c.RequestRate, c.RequestBurst
	l.Sockets, l.Identify, l.WriteTime = c.MaxSockets, c.IdentifyWithin, c.SlowReader
	return l
}

// settings returns what clients are told: what the flags say, overridden by the settings file.
func (c *Config) settings() (welcome.Settings, error) {
	n := welcome.Settings{
		Motd: c.Motd, AdvertiseVersion: c.AdvertiseVersion, SignalError: c.SignalError,
		DisallowList: c.DisallowList, HashcashBits: c.HashcashBits,
	}
	if c.Settings != "" {
		text, err := os.ReadFile(c.Settings)
		if err != nil {
			return n, fmt.Errorf("--settings: %w", err)
		}
		text = bytes.TrimPrefix(text, []byte("\ufeff")) // a byte order mark, which some editors write
		if err := json.Unmarshal(text, &n, json.RejectUnknownMembers(true)); err != nil {
			return n, fmt.Errorf("--settings %s: %w", c.Settings, err)
		}
	}
	if n.HashcashBits < 0 || n.HashcashBits > 40 {
		return n, fmt.Errorf("hashcash bits are %d; they must be from 0 to 40: no client makes a stamp of more", n.HashcashBits)
	}
	return n, nil
}

// isOtherURL reports whether a database is a URL of a kind that is not supported. A connection string is none:
// it may contain a password, and the store refuses it without showing it.
func isOtherURL(database string) bool {
	kind, _, isURL := strings.Cut(database, "://")
	return isURL && kind != "postgres" && kind != "postgresql" && !strings.Contains(kind, "=")
}
