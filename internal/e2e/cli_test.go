package e2e_test

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/jmoiron/sqlx"

	"restante/internal/e2e"
)

func TestVersion(t *testing.T) {
	t.Parallel()
	out, complaints, code := e2e.Run(t, nil, "version")
	if !strings.HasPrefix(out, "restante "+e2e.Version+" (") || !strings.Contains(out, runtime.Version()) || strings.Count(out, "\n") != 1 || complaints != "" || code != 0 {
		t.Errorf("%d %q %q", code, out, complaints)
	}
	if same, _, code := e2e.Run(t, nil, "--version"); same != out || code != 0 {
		t.Errorf("--version: %d %q", code, same)
	}
	s := e2e.Serve(t)
	if a := s.Get("/v1/status"); !bytes.Contains(a.Body, []byte(`"version":"`+e2e.Version+`"`)) {
		t.Errorf("status: %s", a.Body)
	}
}

func TestHealth(t *testing.T) {
	t.Parallel()
	s := e2e.Serve(t)
	if out, complaints, code := e2e.Run(t, nil, "health", "--url", s.URL()+"/"); code != 0 || out != "ready\n" || complaints != "" {
		t.Errorf("of a server that is ready: %d %q %q", code, out, complaints)
	}
	if _, complaints, code := e2e.Run(t, []string{"RESTANTE_URL=" + s.URL()}, "health"); code != 0 {
		t.Errorf("with the URL in the environment: %d %q", code, complaints)
	}
	if err := os.Rename(s.Database, s.Database+".away"); err != nil {
		t.Fatal(err)
	}
	e2e.Eventually(t, "it is noticed that the database is away", func() bool { return s.Get("/readyz").Status != http.StatusOK })
	if out, complaints, code := e2e.Run(t, nil, "health", "--url", s.URL()); code != 1 || out != "" || !strings.Contains(complaints, "STORAGE_UNAVAILABLE") {
		t.Errorf("of a server without its database: %d %q %q", code, out, complaints)
	} else {
		plain(t, complaints)
	}
	s.Kill()
	for _, other := range []string{"<html>\n<h1>Log in</h1>\n</html>\n", "{}", `{"status":"OK?"}`} { // of a server of another kind
		another := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, other) }))
		out, complaints, code := e2e.Run(t, nil, "health", "--url", another.URL)
		if code != 1 || out != "" || !strings.Contains(complaints, "is this the server?") {
			t.Errorf("of %s: %d %q %q", other, code, out, complaints)
		}
		plain(t, complaints)
		another.Close()
	}
	out, complaints, code := e2e.Run(t, nil, "health", "--url", s.URL())
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
	if _, complaints, code := e2e.Run(t, nil, "health", "--url", "http://"+silent.Addr().String(), "--timeout=100ms"); code != 1 {
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
	s := e2e.Serve(t) // one that is in the way
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
	grown := e2e.NewServer(t, "--drain=0s")
	grown.Database = newer
	grown.Start()
	grown.WaitReady()
	grown.Signal(syscall.SIGTERM)
	grown.Wait()
	edit(newer, "INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, 1); UPDATE modified SET compatible = 9999")

	free := e2e.FreeAddress(t)
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
		"a database in use":          {nil, []string{"--listen=" + free, "--database=" + s.Database}, []string{s.Database, "another server", "own"}},
		"a taken port":               {nil, []string{"--listen=" + s.Address}, []string{s.Address, "taken", "--listen"}},
		"one taken port of two":      {nil, []string{"--listen=" + free, "--listen=" + s.Address}, []string{s.Address, "taken"}},
		"no address":                 {nil, []string{"--listen=127.0.0.1:http:x"}, []string{"127.0.0.1:http:x"}},
		"another kind":               {nil, []string{"--database=mysql://user:secret@db.example/x"}, []string{"mysql://…", "./restante.db", "postgres://"}},
		"another kind, by env":       {[]string{"RESTANTE_DATABASE=mysql://user:secret@db.example/x"}, nil, []string{"mysql://…"}},
		"a server that is not there": {nil, []string{"--database=postgres://user:secret@127.0.0.1:1/x"}, []string{"postgres://127.0.0.1:1/x", "cannot be reached", "host and port"}},
		"another kind, misspelt":     {nil, []string{"--listen=" + free, "--database=postgres:/user:secret@db.example/x"}, []string{"write it like postgres://user:password@host"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, complaints, code := e2e.Run(t, tt.env, tt.arguments...)
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
	s := e2e.Serve(t, "--drain=0s")
	s.Signal(syscall.SIGTERM)
	s.Wait()
	content, err := os.ReadFile(s.Database)
	if err != nil {
		t.Fatal(err)
	}
	copy(content[200:], bytes.Repeat([]byte("damage "), 2000)) // page 1 from behind its header, and pages that follow
	if err := os.WriteFile(s.Database, content, 0o600); err != nil {
		t.Fatal(err)
	}
	out, complaints, code := e2e.Run(t, nil, "--listen="+s.Address, "--database="+s.Database)
	if code != 1 || out != "" || !strings.Contains(complaints, "damaged") || !strings.Contains(complaints, "backup") {
		t.Errorf("%d %q %q", code, out, complaints)
	}
	plain(t, complaints)
}

// TestEnvironment holds that flags can be variables, and that the command line goes before.
func TestEnvironment(t *testing.T) {
	t.Parallel()
	first, second := e2e.FreeAddress(t), e2e.FreeAddress(t)
	s := e2e.NewServer(t, "--heartbeats-until-dead=4")
	s.Wrap = []string{"env", "RESTANTE_HEARTBEAT_INTERVAL=7s", "RESTANTE_HEARTBEATS_UNTIL_DEAD=3", "RESTANTE_SESSION_GRACE=13m", "RESTANTE_DATABASE=/no/such/file", "RESTANTE_LISTEN=127.0.0.1:1"}
	s.Flags = append(s.Flags, "--listen="+first, "--listen="+second)
	s.Start()
	s.WaitReady()
	const hello = `{"protocolVersion":"1","appId":"a","expectedSessionState":{"nextExpectedSeq":0,"nextSentSeq":0}}`
	for _, address := range []string{s.Address, first, second} {
		a := e2e.Ask(t, http.MethodPost, "http://"+address+"/v1/sessions", nil, hello)
		for _, want := range []string{`"heartbeatIntervalMs":7000`, `"heartbeatsUntilDead":4`, `"sessionDisconnectGraceMs":780000`} {
			if a.Status != http.StatusCreated || !bytes.Contains(a.Body, []byte(want)) {
				t.Errorf("%s: %d %s, want %s", address, a.Status, a.Body, want)
			}
		}
	}
}
