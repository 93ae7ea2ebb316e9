package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"

	"restante/rendezvous"
	"restante/repo/pgtest"
)

// binary is the program, built with the race detector.
var binary string

// TestMain builds the program once: the end-to-end tests run it as its users do.
func TestMain(m *testing.M) {
	os.Exit(build(m))
}

func build(m *testing.M) int {
	dir, err := os.MkdirTemp("", "restante-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "restante")
	compile := exec.Command("go", "build", "-race", "-ldflags", "-X main.version=1.2.3-test", "-o", binary, ".")
	if out, err := compile.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "cannot build the program: %v\n%s", err, out)
		return 1
	}
	defer pgtest.Stop()
	// These tests wait for other programs more than they compute.
	flag.Parse()
	if parallel := flag.Lookup("test.parallel"); parallel.Value.String() == parallel.DefValue {
		if err := parallel.Value.Set("4"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return m.Run()
}

// eventually waits until something holds. Another process cannot be waited for
// but by looking again, so that is done here, and nowhere else, until a deadline.
func eventually(t *testing.T, within time.Duration, what string, holds func() bool) {
	t.Helper()
	deadline := time.NewTimer(within)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-deadline.C:
			t.Fatalf("not within %v: %s", within, what)
		case <-tick.C:
		}
	}
}

// pause lets time pass, as a client does that backs off.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}

// settings are those that the program has when nobody gives it any, but for where it is.
func settings(t *testing.T) Config {
	t.Helper()
	var cli commands
	parser, err := kong.New(&cli)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parser.Parse([]string{"serve"}); err != nil {
		t.Fatal(err)
	}
	c := cli.Serve
	c.Listen, c.Database, c.Drain = []string{"127.0.0.1:0"}, filepath.Join(t.TempDir(), "restante.db"), 0
	return c
}

// TestRun runs the whole program in this process: on two addresses, from a
// start to a stop that leaves no error behind.
func TestRun(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	c := settings(t)
	c.Listen = append(c.Listen, "127.0.0.1:0")
	ready := make(chan []net.Addr, 1)
	c.Ready = func(a []net.Addr) { ready <- a }
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, c, slog.New(slog.DiscardHandler)) }()

	var addresses []net.Addr
	select {
	case addresses = <-ready:
	case err := <-ended:
		t.Fatalf("run ended at once: %v", err)
	}
	if len(addresses) != 2 {
		t.Fatalf("listens on %v, want two addresses", addresses)
	}
	for _, address := range addresses {
		if a := ask(t, http.MethodGet, "http://"+address.String()+"/readyz", nil); a.status != http.StatusOK {
			t.Errorf("%v: %d %s", address, a.status, a.body)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("a stop that was asked for ended with %v", err)
	}
	// The database is free again.
	again, stop := context.WithCancel(t.Context())
	c.Ready = func([]net.Addr) { stop() }
	if err := run(again, c, slog.New(slog.DiscardHandler)); err != nil {
		t.Errorf("a second run on the same database: %v", err)
	}
}

func TestValidate(t *testing.T) {
	tests := map[string]struct {
		change func(*Config)
		want   string // in the complaint; empty: there is none
	}{
		"as it comes":            {func(*Config) {}, ""},
		"no limit of the rate":   {func(c *Config) { c.RequestRate, c.RequestBurst = 0, 0 }, ""},
		"prunes without a pause": {func(c *Config) { c.PruneInterval = 0 }, "--prune-interval"},
		"a ttl below a second":   {func(c *Config) { c.MailboxTTL = 999 * time.Millisecond }, "--mailbox-ttl"},
		"no heartbeat":           {func(c *Config) { c.HeartbeatsUntilDead = 0 }, "--heartbeats-until-dead"},
		"a drain before now":     {func(c *Config) { c.Drain = -1 }, "--drain"},
		"a blur of nothing":      {func(c *Config) { c.BlurUsage = time.Microsecond }, "--blur-usage"},
		"a rate without a burst": {func(c *Config) { c.RequestBurst = 0 }, "--request-burst"},
		"no messages at all":     {func(c *Config) { c.MaxMessages = 0 }, "at least 1"},
		"another database":       {func(c *Config) { c.Database = "mysql://root:hunter2@db/x" }, "mysql://…: that kind"},
		"an origin with a path":  {func(c *Config) { c.CORSOrigins = []string{"*", "https://app.example/"} }, `--cors-origins "https://app.example/": an origin has no path`},
		"a pattern that is none": {func(c *Config) { c.RejectClient = []string{"[", "x"} }, `"["`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := settings(t)
			tt.change(&c)
			err := c.validate()
			switch {
			case err == nil && tt.want != "":
				t.Error("accepted")
			case err != nil && (tt.want == "" || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("refused with %q, want %q in it", err, tt.want)
			case err != nil && strings.Contains(err.Error(), "hunter2"):
				t.Errorf("%q shows the password", err)
			}
		})
	}
}

func TestAdmit(t *testing.T) {
	c := Config{RejectClient: []string{"acme/1.*", "*/0.?"}}
	for client, admitted := range map[[2]string]bool{
		{"acme", "1.4"}: false,
		{"acme", "2.0"}: true,
		{"else", "0.9"}: false,
		{"", ""}:        true,
	} {
		if err := c.admit(t.Context(), rendezvous.Newcomer{Client: client}); (err == nil) != admitted {
			t.Errorf("%q: %v, want admitted: %t", client, err, admitted)
		}
	}
}

// answer is what a server said.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// ask asks a server once, on a connection of its own.
func ask(t *testing.T, method, url string, header http.Header, body ...string) answer {
	t.Helper()
	a, err := exchange(t.Context(), lone, method, url, header, strings.Join(body, ""))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// lone makes a connection for each request.
var lone = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

// exchange sends a request and takes its whole answer in.
func exchange(ctx context.Context, via *http.Client, method, url string, header http.Header, body string) (answer, error) {
	request, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	maps.Copy(request.Header, header)
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := via.Do(request)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	whole, err := io.ReadAll(response.Body)
	return answer{response.StatusCode, response.Header, whole}, err
}
