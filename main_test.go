package main

import (
	"context"
	"log/slog"
	"math"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"

	"restante/internal/e2e"
	"restante/rendezvous"
)

// settings returns the settings of a program that is given none, except for its addresses and its database.
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
	go func() { ended <- run(ctx, c, slog.New(slog.DiscardHandler), nil) }()

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
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address.String()+"/readyz", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		if answer.Body.Close(); answer.StatusCode != http.StatusOK {
			t.Errorf("%v: %s", address, answer.Status)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("a stop that was asked for ended with %v", err)
	}
	// The database is free again.
	again, stop := context.WithCancel(t.Context())
	c.Ready = func([]net.Addr) { stop() }
	if err := run(again, c, slog.New(slog.DiscardHandler), nil); err != nil {
		t.Errorf("a second run on the same database: %v", err)
	}
}

// TestMain builds the program once: TestHelp runs it as its users do.
func TestMain(m *testing.M) { os.Exit(e2e.Main(m)) }

func TestValidate(t *testing.T) {
	tests := map[string]struct {
		change func(*Config)
		want   string // in the complaint; empty: there is none
	}{
		"as it comes":                         {func(*Config) {}, ""},
		"no limit of the rate":                {func(c *Config) { c.RequestRate, c.RequestBurst = 0, 0 }, ""},
		"prunes without a pause":              {func(c *Config) { c.PruneInterval = 0 }, "--prune-interval"},
		"a ttl below a second":                {func(c *Config) { c.MailboxTTL = 999 * time.Millisecond }, "--mailbox-ttl"},
		"no heartbeat":                        {func(c *Config) { c.HeartbeatsUntilDead = 0 }, "--heartbeats-until-dead"},
		"a drain before now":                  {func(c *Config) { c.Drain = -1 }, "--drain"},
		"a blur of nothing":                   {func(c *Config) { c.BlurUsage = time.Microsecond }, "--blur-usage"},
		"a rate without a burst":              {func(c *Config) { c.RequestBurst = 0 }, "--request-burst"},
		"a rate that is no number":            {func(c *Config) { c.RequestRate = math.NaN() }, "--request-rate"},
		"a rate without an end":               {func(c *Config) { c.RequestRate = math.Inf(1) }, "--request-rate"},
		"a negative rate":                     {func(c *Config) { c.RequestRate = -1 }, "--request-rate"},
		"claims that are no number":           {func(c *Config) { c.ClaimRate = math.NaN() }, "--claim-rate"},
		"no messages at all":                  {func(c *Config) { c.MaxMessages = 0 }, "at least 1"},
		"no usage records at all":             {func(c *Config) { c.MaxUsageRecords = 0 }, "at least 1"},
		"another database":                    {func(c *Config) { c.Database = "mysql://root:hunter2@db/x" }, "mysql://…: that kind"},
		"an origin with a path":               {func(c *Config) { c.CORSOrigins = []string{"*", "https://app.example/"} }, `--cors-origins "https://app.example/": an origin has no path`},
		"a base path with a slash at its end": {func(c *Config) { c.BasePath = "/mail/" }, "--base-path"},
		"an admin token without a side":       {func(c *Config) { c.AdminToken = "0123456789abcdef" }, "--admin-listen"},
		"an admin token that is guessed":      {func(c *Config) { c.AdminListen, c.AdminToken = []string{":4001"}, "secret" }, "--admin-token"},
		"an admin side on loopback":           {func(c *Config) { c.AdminListen = []string{"127.0.0.1:4001"} }, ""},
		"an admin side on nothing":            {func(c *Config) { c.AdminListen = []string{"x"} }, "--admin-listen"},
		"a pattern that is none":              {func(c *Config) { c.RejectClient = []string{"[", "x"} }, `"["`},
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

func TestSettingsMayBeginWithAByteOrderMark(t *testing.T) {
	c := Config{Settings: filepath.Join(t.TempDir(), "settings.json")}
	if err := os.WriteFile(c.Settings, []byte("\ufeff"+`{"motd": "hello"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := c.settings(); got.Motd != "hello" || err != nil {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestAdmit(t *testing.T) {
	c := Config{RejectClient: []string{"acme/1.*", "*/0.?", "*beta*", "evil*"}}
	for client, admitted := range map[[2]string]bool{
		{"acme", "1.4"}: false,
		{"acme", "2.0"}: true,
		{"else", "0.9"}: false,
		{"", ""}:        true,
		// A slash evades nothing.
		{"acme", "1.4/linux"}: false,
		{"x", "beta/1"}:       false,
		{"x", "1/beta"}:       false,
		{"evil", "1"}:         false,
		{"evil/2", ""}:        false,
	} {
		if err := c.admit(t.Context(), rendezvous.ClientInfo{Client: client}); (err == nil) != admitted {
			t.Errorf("%q: %v, want admitted: %t", client, err, admitted)
		}
	}
}

// flagNames are the flags that the configuration has, by the name rules of the command line.
func flagNames() (names []string) {
	upper := regexp.MustCompile(`([a-z])([A-Z])`)
	for _, field := range reflect.VisibleFields(reflect.TypeFor[Config]()) {
		if field.Tag.Get("help") == "" {
			continue
		}
		name := field.Tag.Get("name")
		if name == "" {
			name = strings.ToLower(upper.ReplaceAllString(field.Name, "$1-$2"))
		}
		names = append(names, name)
	}
	return names
}

// TestHelp holds that all there is to decide is explained where one looks first, in groups.
func TestHelp(t *testing.T) {
	t.Parallel()
	names := flagNames()
	if len(names) < 20 {
		t.Fatalf("only %d flags: %v", len(names), names)
	}
	for _, arguments := range [][]string{{"--help"}, {"serve", "--help"}} {
		out, complaints, code := e2e.Run(t, nil, arguments...)
		if code != 0 || complaints != "" {
			t.Errorf("%v: exit code %d, %s", arguments, code, complaints)
		}
		for _, name := range names {
			explained := regexp.MustCompile(`(?m)^ +--(\[no-\])?` + name + `[= ].*\S`)
			variable := "$RESTANTE_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
			if !explained.MatchString(out) || !strings.Contains(out, variable) {
				t.Errorf("%v does not explain --%s with %s", arguments, name, variable)
			}
		}
		at := 0
		for _, group := range []string{"Where", "How long things live", "Sessions", "Limits", "What clients are told", "Operation"} {
			here := strings.Index(out[at:], "\n"+group+"\n")
			if here < 0 {
				t.Errorf("%v has no group %q in its place:\n%s", arguments, group, out)
				break
			}
			at += here
		}
	}
	if out, _, _ := e2e.Run(t, nil, "--help"); !strings.Contains(out, "health") || !strings.Contains(out, "version") {
		t.Errorf("--help does not name the commands:\n%s", out)
	}
}

// An admin side that other machines can reach has a token. One on a loopback address serves the status without.
func TestAdminSide(t *testing.T) {
	t.Parallel()
	c := settings(t)
	c.AdminListen = []string{"0.0.0.0:0"}
	if err := run(t.Context(), c, slog.New(slog.DiscardHandler), nil); err == nil || !strings.Contains(err.Error(), "--admin-token") {
		t.Errorf("without a token it ended with %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	side, err := (&Config{Listening: Listening{SocketMode: "0660"}, Administration: Administration{AdminListen: []string{"127.0.0.1:0"}}}).openAdmin(ctx, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	address := side.Addrs()[0].String()
	side.Close()
	c = settings(t)
	c.AdminListen = []string{address}
	public, ended := serving(ctx, t, c)
	for at, want := range map[string]int{
		address + "/status": http.StatusOK, address + "/metrics": http.StatusOK, address + "/v1/admin/usage": http.StatusOK,
		public.String() + "/metrics": http.StatusNotFound, public.String() + "/v1/admin/usage": http.StatusNotFound,
	} {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+at, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		if answer.Body.Close(); answer.StatusCode != want {
			t.Errorf("%s is answered %d, want %d", at, answer.StatusCode, want)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("it ended with %v", err)
	}
}

// serving runs the server until ctx ends. It returns where the server listens, and how run ends.
func serving(ctx context.Context, t *testing.T, c Config) (at net.Addr, ended <-chan error) {
	t.Helper()
	ready, over := make(chan []net.Addr, 1), make(chan error, 1)
	c.Ready = func(a []net.Addr) { ready <- a }
	go func() { over <- run(ctx, c, slog.New(slog.DiscardHandler), nil) }()
	select {
	case addresses := <-ready:
		return addresses[0], over
	case err := <-over:
		t.Fatalf("run ended at once: %v", err)
	}
	panic("unreachable")
}
