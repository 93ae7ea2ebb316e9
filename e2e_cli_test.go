package main

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
)

// cli is the program, run to its end.
func cli(t *testing.T, env []string, arguments ...string) (stdout, stderr string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, arguments...)
	var out, complaints bytes.Buffer
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = t.TempDir(), environment(env...), &out, &complaints, childOf()
	err := cmd.Run()
	var failed *exec.ExitError
	if ctx.Err() != nil || err != nil && !errors.As(err, &failed) {
		t.Fatalf("restante %q does not end: %v\n%s%s", arguments, err, out.String(), complaints.String())
	}
	return out.String(), complaints.String(), cmd.ProcessState.ExitCode()
}

// flagNames are the flags that the configuration has, by the name rules of the command line.
func flagNames() (names []string) {
	upper := regexp.MustCompile(`([a-z])([A-Z])`)
	for field := range reflect.TypeFor[Config]().Fields() {
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
		out, complaints, code := cli(t, nil, arguments...)
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
	if out, _, _ := cli(t, nil, "--help"); !strings.Contains(out, "health") || !strings.Contains(out, "version") {
		t.Errorf("--help does not name the commands:\n%s", out)
	}
}

func TestVersion(t *testing.T) {
	t.Parallel()
	out, complaints, code := cli(t, nil, "version")
	if out != "restante 1.2.3-test\n" || complaints != "" || code != 0 {
		t.Errorf("%d %q %q", code, out, complaints)
	}
	s := serve(t)
	if a := s.get("/v1/status"); !bytes.Contains(a.body, []byte(`"version":"1.2.3-test"`)) {
		t.Errorf("status: %s", a.body)
	}
}

func TestHealth(t *testing.T) {
	t.Parallel()
	s := serve(t)
	if out, complaints, code := cli(t, nil, "health", "--url", s.url()+"/"); code != 0 || out != "ready\n" || complaints != "" {
		t.Errorf("of a server that is ready: %d %q %q", code, out, complaints)
	}
	if _, complaints, code := cli(t, []string{"RESTANTE_URL=" + s.url()}, "health"); code != 0 {
		t.Errorf("with the URL in the environment: %d %q", code, complaints)
	}
	if err := os.Rename(s.database, s.database+".away"); err != nil {
		t.Fatal(err)
	}
	if out, complaints, code := cli(t, nil, "health", "--url", s.url()); code != 1 || out != "" || !strings.Contains(complaints, "STORAGE_UNAVAILABLE") {
		t.Errorf("of a server without its database: %d %q %q", code, out, complaints)
	} else {
		plain(t, complaints)
	}
	s.kill()
	out, complaints, code := cli(t, nil, "health", "--url", s.url())
	if code != 1 || out != "" {
		t.Errorf("of no server: %d %q %q", code, out, complaints)
	}
	plain(t, complaints)

	// One that takes the call and says nothing.
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	if _, complaints, code := cli(t, nil, "health", "--url", "http://"+silent.Addr().String(), "--timeout=100ms"); code != 1 {
		t.Errorf("of a silent server: %d %q", code, complaints)
	}
}

// plain holds that the program complained like a good program does: in one line
// that is meant for people.
func plain(t *testing.T, complaints string) {
	t.Helper()
	if !strings.HasPrefix(complaints, "restante: ") || strings.Count(complaints, "\n") != 1 || !strings.HasSuffix(complaints, "\n") || len(complaints) > 500 {
		t.Errorf("not one clear line: %s", complaints)
	}
	for _, inner := range []string{"goroutine", ".go:", "panic", "SQLITE", "0x", "%!"} {
		if strings.Contains(complaints, inner) {
			t.Errorf("%q is not for people: %s", inner, complaints)
		}
	}
}

// TestDoesNotStart holds that a server that cannot start says why and what to do.
func TestDoesNotStart(t *testing.T) {
	t.Parallel()
	s := serve(t) // one that is in the way
	dir := t.TempDir()
	file := func(name, content string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	foreign := filepath.Join(dir, "foreign.db")
	newer := filepath.Join(dir, "newer.db")
	edit := func(path, statement string) {
		t.Helper()
		db, err := sqlx.Open("sqlite", path)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		if _, err := db.Exec(statement); err != nil {
			t.Fatal(err)
		}
	}
	edit(foreign, "CREATE TABLE bookmarks (url TEXT)")
	grown := newServer(t, "--drain=0s")
	grown.database = newer
	grown.start()
	grown.ready()
	grown.signal(syscall.SIGTERM)
	grown.wait(10 * time.Second)
	edit(newer, "INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, 1); UPDATE modified SET compatible = 9999")

	free := freeAddress(t)
	for name, tt := range map[string]struct {
		env       []string
		arguments []string
		want      []string // in the complaint
	}{
		"an unknown flag":            {nil, []string{"--nonsense"}, []string{"--nonsense", "--help"}},
		"an unknown command":         {nil, []string{"server"}, []string{"server", "--help"}},
		"no duration":                {nil, []string{"--mailbox-ttl=soon"}, []string{"--mailbox-ttl", "soon"}},
		"no duration, by env":        {[]string{"RESTANTE_MAILBOX_TTL=soon"}, nil, []string{"--mailbox-ttl", "soon"}},
		"too short a duration":       {nil, []string{"--mailbox-ttl=1ms"}, []string{"--mailbox-ttl", "at least 1s"}},
		"no network":                 {nil, []string{"--trusted-proxies=proxy"}, []string{"--trusted-proxies", "proxy"}},
		"no format":                  {nil, []string{"--log-format=xml"}, []string{"--log-format", "json"}},
		"no directory":               {nil, []string{"--listen=" + free, "--database=" + filepath.Join(dir, "no", "such", "x.db")}, []string{"no/such", "make the directory"}},
		"a directory":                {nil, []string{"--listen=" + free, "--database=" + dir}, []string{dir, "name a file"}},
		"no database":                {nil, []string{"--listen=" + free, "--database=" + file("text.db", strings.Repeat("Dear diary, ", 1000))}, []string{"text.db", "not a SQLite database", "name another file"}},
		"another program's":          {nil, []string{"--listen=" + free, "--database=" + foreign}, []string{"foreign.db", "another program", "name another file"}},
		"a newer server's":           {nil, []string{"--listen=" + free, "--database=" + newer}, []string{"newer.db", "newer server"}},
		"a database in use":          {nil, []string{"--listen=" + free, "--database=" + s.database}, []string{s.database, "another server", "own"}},
		"a taken port":               {nil, []string{"--listen=" + s.address}, []string{s.address, "taken", "--listen"}},
		"one taken port of two":      {nil, []string{"--listen=" + free, "--listen=" + s.address}, []string{s.address, "taken"}},
		"no address":                 {nil, []string{"--listen=127.0.0.1:http:x"}, []string{"127.0.0.1:http:x"}},
		"another kind":               {nil, []string{"--database=mysql://user:secret@db.example/x"}, []string{"mysql://…", "./restante.db", "postgres://"}},
		"another kind, by env":       {[]string{"RESTANTE_DATABASE=mysql://user:secret@db.example/x"}, nil, []string{"mysql://…"}},
		"a server that is not there": {nil, []string{"--database=postgres://user:secret@127.0.0.1:1/x"}, []string{"postgres://127.0.0.1:1/x", "cannot be reached", "host and port"}},
		"another kind, misspelt":     {nil, []string{"--listen=" + free, "--database=postgres:/user:secret@db.example/x"}, []string{"make the directory"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, complaints, code := cli(t, tt.env, tt.arguments...)
			if code != 1 || out != "" {
				t.Errorf("exit code %d, %s", code, out)
			}
			plain(t, complaints)
			for _, want := range tt.want {
				if !strings.Contains(complaints, want) {
					t.Errorf("%q does not say %q", complaints, want)
				}
			}
			if strings.Contains(tt.want[0], "://…") && strings.Contains(complaints, "secret") {
				t.Errorf("%q tells the password", complaints)
			}
		})
	}
}

// TestDamagedDatabase is a file that was ours, and of which a piece is something else now.
func TestDamagedDatabase(t *testing.T) {
	t.Parallel()
	s := serve(t, "--drain=0s")
	s.signal(syscall.SIGTERM)
	s.wait(10 * time.Second)
	content, err := os.ReadFile(s.database)
	if err != nil {
		t.Fatal(err)
	}
	copy(content[200:], bytes.Repeat([]byte("damage "), 2000)) // page 1 from behind its header, and pages that follow
	if err := os.WriteFile(s.database, content, 0o600); err != nil {
		t.Fatal(err)
	}
	out, complaints, code := cli(t, nil, "--listen="+s.address, "--database="+s.database)
	if code != 1 || out != "" || !strings.Contains(complaints, "damaged") || !strings.Contains(complaints, "backup") {
		t.Errorf("%d %q %q", code, out, complaints)
	}
	plain(t, complaints)
}

// TestEnvironment holds that flags can be variables, and that the command line goes before.
func TestEnvironment(t *testing.T) {
	t.Parallel()
	first, second := freeAddress(t), freeAddress(t)
	s := newServer(t, "--heartbeats-until-dead=4")
	s.wrap = []string{"env", "RESTANTE_HEARTBEAT_INTERVAL=7s", "RESTANTE_HEARTBEATS_UNTIL_DEAD=3", "RESTANTE_SESSION_GRACE=13m", "RESTANTE_DATABASE=/no/such/file", "RESTANTE_LISTEN=127.0.0.1:1"}
	s.flags = append(s.flags, "--listen="+first, "--listen="+second)
	s.start()
	s.ready()
	const hello = `{"protocolVersion":"1","appId":"a","expectedSessionState":{"nextExpectedSeq":0,"nextSentSeq":0}}`
	for _, address := range []string{s.address, first, second} {
		a := ask(t, http.MethodPost, "http://"+address+"/v1/sessions", nil, hello)
		for _, want := range []string{`"heartbeatIntervalMs":7000`, `"heartbeatsUntilDead":4`, `"sessionDisconnectGraceMs":780000`} {
			if a.status != http.StatusCreated || !bytes.Contains(a.body, []byte(want)) {
				t.Errorf("%s: %d %s, want %s", address, a.status, a.body, want)
			}
		}
	}
}
