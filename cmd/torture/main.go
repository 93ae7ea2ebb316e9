// Command torture runs servers and clients, does to them what networks, disks and operators do, and
// checks that the server keeps its promises. See docs/reliability.md.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"restante/internal/torture"
)

// commands are what the program can do.
type commands struct {
	Run    flags `cmd:"" default:"withargs" help:"Run servers and clients, inject faults, and check what happened (the default)."`
	Plot   plot  `cmd:"" help:"Draw what --soak wrote, as SVG."`
	Report table `cmd:"" help:"Sum the reports of several runs up, as tables in Markdown."`
}

// table is the command that sums reports up.
type table struct {
	Files []string `arg:"" type:"existingfile" help:"What --report wrote."`
}

// plot is the command that draws a soak.
type plot struct {
	From string `arg:"" type:"existingfile" help:"What --soak wrote."`
	To   string `arg:"" type:"path" help:"The SVG file."`
}

// flags are those of a run.
type flags struct {
	Server     string        `placeholder:"BINARY" help:"The server's program; by default it is built from this module."`
	Flag       []string      `placeholder:"FLAG" sep:"none" help:"One more flag of the server, such as --flag=--notify=poll; repeat for more."`
	Database   string        `placeholder:"URL" help:"A PostgreSQL URL, or \"postgres\" to start a cluster; by default a new SQLite file."`
	Standby    string        `enum:",sync,async" default:"" help:"Give the started cluster a streaming standby, sync or async, that faults promote."`
	PgBouncer  bool          `name:"pgbouncer" help:"Put PgBouncer between the servers and the started cluster."`
	Replicas   int           `default:"1" help:"Servers on one PostgreSQL database (${default})."`
	Seed       uint64        `help:"Repeats the choices; 0 draws one."`
	Duration   time.Duration `default:"30s" help:"How long faults are injected (${default})."`
	Life       time.Duration `help:"How long mailboxes and sessions live unattended; then abandoned ones must be gone. By default as the server has it, and none is abandoned."`
	Rooms      int           `default:"4" help:"Conversations at a time (${default})."`
	Transports []string      `default:"poll,stream,socket,wormhole,keyed" help:"The transports of the clients (${default})."`
	Faults     []string      `help:"Only these faults, such as kill,cut; none means no fault. By default all that fit the database."`
	Without    []string      `help:"What clients do not do: tab (a second tab with an older state), twin (two copies of a handshake at once)."`
	Patience   time.Duration `default:"30s" help:"How long a client tries on before it says that it is stuck (${default})."`
	Shrink     bool          `help:"After a failure, try shorter runs."`
	Soak       string        `type:"path" placeholder:"FILE" help:"Sample the first server (memory, goroutines, descriptors, sizes, latency) and write that there, as CSV."`
	Every      time.Duration `default:"5s" help:"How often it is sampled (${default})."`
	History    string        `type:"path" placeholder:"FILE" help:"Write all events there, as lines of JSON."`
	Report     string        `name:"report" aliases:"json" type:"path" placeholder:"FILE" help:"Write the report there, as JSON, too. See the command report."`
}

var errViolations = errors.New("the server broke a promise")

func main() {
	var c commands
	parsed := kong.Parse(&c, kong.Name("torture"), kong.Description("A nemesis for the server. See docs/reliability.md."))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	var err error
	switch command, _, _ := strings.Cut(parsed.Command(), " "); command {
	case "report":
		err = sumUp(c.Report.Files)
	case "plot":
		err = draw(c.Plot.From, c.Plot.To)
	default:
		err = run(ctx, c.Run)
	}
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "torture:", err)
		os.Exit(1)
	}
}

func draw(from, to string) error {
	samples, err := os.Open(from) // #nosec G304 -- the file that is to be read
	if err != nil {
		return err
	}
	defer samples.Close() //nolint:errcheck // it was only read
	var picture bytes.Buffer
	if err := torture.Plot(samples, &picture); err != nil {
		return err
	}
	return os.WriteFile(to, picture.Bytes(), 0o644) // #nosec G306 -- a picture for the documentation
}

func sumUp(files []string) error {
	var reports []*torture.Report
	for _, file := range files {
		text, err := os.ReadFile(file) // #nosec G304 -- the files that are to be read
		if err != nil {
			return err
		}
		report := &torture.Report{}
		if err := json.Unmarshal(text, report); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		reports = append(reports, report)
	}
	_, err := io.WriteString(os.Stdout, torture.Table(reports))
	return err
}

func run(ctx context.Context, f flags) error {
	cfg := torture.Config{
		Server: f.Server, Flags: f.Flag, Database: f.Database, Standby: f.Standby, PgBouncer: f.PgBouncer, Replicas: f.Replicas, Seed: f.Seed,
		Duration: f.Duration, Life: f.Life, Rooms: f.Rooms, Transport: f.Transports, Faults: f.Faults, Without: f.Without, Patience: f.Patience, Shrink: f.Shrink,
	}
	if cfg.Seed == 0 {
		cfg.Seed = uint64(time.Now().UnixNano()) % 1_000_000
	}
	if f.History != "" {
		file, err := os.Create(f.History)
		if err != nil {
			return err
		}
		defer file.Close() //nolint:errcheck // a history that cannot be written is not worth the report
		cfg.History = io.Writer(file)
	}
	if f.Soak != "" {
		file, err := os.Create(f.Soak)
		if err != nil {
			return err
		}
		defer file.Close() //nolint:errcheck // as above
		cfg.Soak, cfg.Every = io.Writer(file), f.Every
	}
	report, err := torture.Run(ctx, cfg, slog.New(slog.NewTextHandler(os.Stderr, nil)))
	if err != nil {
		return err
	}
	if f.Report != "" {
		text, err := json.MarshalIndent(report, "", "\t")
		if err != nil {
			return err
		}
		if err := os.WriteFile(f.Report, append(text, '\n'), 0o600); err != nil {
			return err
		}
	}
	if err := report.Write(os.Stdout); err != nil {
		return err
	}
	if report.Failed() {
		return errViolations
	}
	return nil
}
