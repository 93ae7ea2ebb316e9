package e2e_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"restante/internal/e2e"
	"restante/internal/testclient"
)

// pythonListener is a client of docs/protocol.md that receives only while its gate is open, which is until it hears what it
// waits for.
const pythonListener = `
import os
def until(holds):
    while not holds(): time.sleep(0.02)
def told(what): until(lambda: os.path.exists(what))

class Listener(Client):
    def __init__(self, server, side):
        self.gate, self.heard, self.awaited = threading.Event(), [], None
        super().__init__(server, "example.org/tea", side)
        threading.Thread(target=self.receive, args=[self.hear], daemon=True).start()
    def ask(self, session, method, path, *more, **named):
        if path.startswith("/v1/session/events"): self.gate.wait()
        return super().ask(session, method, path, *more, **named)
    def hear(self, frame):
        self.heard.append(frame)
        if frame["type"] == "message" and frame["body"] == self.awaited: self.gate.clear()
    def add(self, mailbox, body): self.do("POST", f"/v1/mailboxes/{mailbox}/messages", {"phase": "p", "body": body})
    def hears(self, body):
        self.awaited = body
        self.gate.set()
        until(lambda: any(frame.get("body") == body for frame in self.heard))
    def types(self, mailbox): return [frame["type"] for frame in self.heard if frame["mailbox"] == mailbox]
    def end(self, code="SESSION_ENDED"):  # and wait until that is what the server says
        session = self.session  # another one takes its place if a receive is under way
        self.ask(session, "DELETE", "/v1/session")
        until(lambda: self.over(session) == code)
    def over(self, session):
        try: self.ask(session, "GET", "/v1/session")
        except Restart as over: return over.args[0]["code"]

def refused(request, *arguments):
    try: request(*arguments)
    except Stopped as stopped: return stopped.args[0]["code"]
`

// runPython runs a script that has the client of docs/protocol.md and the listener.
func runPython(t *testing.T, address, script string) *e2e.Person {
	t.Helper()
	client, _ := pythonBlocks(t, address)
	path := filepath.Join(t.TempDir(), "script.py")
	text := client + pythonListener + fmt.Sprintf("server = %q\n", "http://"+address) + script
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return e2e.RunProgram(t, "/usr/bin/python3", path)
}

// restarted starts a server again with other flags beside those that it has.
func restarted(s *e2e.Server, flags ...string) {
	s.Kill()
	s.Flags = slices.Concat(s.Flags, flags)
	s.Start()
	s.WaitReady()
}

// tell tells a script something, for which it waits with told.
func tell(t *testing.T, p *e2e.Person, what string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(p.Dir, what), nil, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestThePythonClientTellsOfPrunedMailboxes ends the session of the client, and prunes its mailboxes. The client is told
// that they have retired, before anything else, and makes no others in their place.
func TestThePythonClientTellsOfPrunedMailboxes(t *testing.T) {
	t.Parallel()
	s := e2e.Serve(t, "--mailbox-ttl=1s", "--prune-interval=1s") // nothing expires soon after the start
	p := runPython(t, s.Address, `
alice, bob = Listener(server, "alice"), Listener(server, "bob")
alice.open("empty"), alice.open("read"), bob.open("read")
bob.add("read", "one")
alice.hears("one")
alice.end(), bob.end()
print("over")
told("pruned")
alice.open("next"), bob.open("next")
bob.add("next", "two")
alice.hears("two")
assert alice.types("empty") == ["retired"], alice.heard
assert alice.types("read") == ["opened", "message", "retired"], alice.heard
assert alice.types("next") == ["opened", "message"], alice.heard
code = refused(alice.do, "GET", "/v1/mailboxes/empty")
assert code == "NOT_FOUND", code
print("done")
`)
	p.WaitFor("over")
	restarted(s, "--boot-grace=0s")
	e2e.Eventually(t, "the mailboxes are pruned", func() bool { return s.Status().Counts.Mailboxes == 0 })
	restarted(s, "--boot-grace=1h")
	tell(t, p, "pruned")
	p.MustSucceed("done")
}

// TestThePythonClientOpensAMailboxAgainThatWasPruned prunes a mailbox of a session that lives. The client opens it again
// before it has heard of that. When its session ends, it goes on with the new one.
func TestThePythonClientOpensAMailboxAgainThatWasPruned(t *testing.T) {
	t.Parallel()
	s := e2e.Serve(t, "--boot-grace=0s", "--mailbox-ttl=1s", "--prune-interval=1s", "--session-grace=1h")
	p := runPython(t, s.Address, `
alice, bob = Listener(server, "alice"), Listener(server, "bob")
alice.open("box")
print("opened")
told("pruned")
if refused(alice.open, "box"):  # then the client wants to be asked again when it has told
    alice.gate.set()
    until(lambda: alice.types("box") == ["retired"])
    alice.open("box")
alice.gate.set()
until(lambda: alice.types("box") == ["retired"])
alice.gate.clear()
alice.end()
bob.open("box"), alice.open("next"), bob.open("next")
bob.add("box", "one"), bob.add("next", "two")
alice.hears("two")
assert [frame["body"] for frame in alice.heard if frame["type"] == "message"] == ["one", "two"], alice.heard
assert alice.types("box").count("retired") == 1, alice.heard
print("done")
`)
	p.WaitFor("opened")
	e2e.Eventually(t, "the mailbox is pruned", func() bool {
		return bytes.Contains(s.Get("/metrics").Body, []byte("\nrestante_retired_total{kind=\"mailbox\",result=\"pruney\"} 1\n"))
	})
	restarted(s, "--boot-grace=1h")
	tell(t, p, "pruned")
	p.MustSucceed("done")
}

// TestThePythonClientForgetsWhatItCouldNotOpen refuses a mailbox to the client. Its next session does not open that,
// although by then it could.
func TestThePythonClientForgetsWhatItCouldNotOpen(t *testing.T) {
	t.Parallel()
	s := e2e.Serve(t)
	runPython(t, s.Address, `
alice, bob, carol = (Listener(server, side) for side in ("alice", "bob", "carol"))
alice.open("box"), bob.open("box")
assert refused(carol.open, "box") == "CROWDED"
alice.close("box"), bob.close("box")
carol.end()
assert refused(carol.do, "GET", "/v1/mailboxes/box") == "NOT_FOUND"
print("done")
`).MustSucceed("done")
}

// TestThePythonClientTellsReceipts asks for receipts, which the client hands over as it does the other frames.
func TestThePythonClientTellsReceipts(t *testing.T) {
	t.Parallel()
	s := e2e.Serve(t)
	runPython(t, s.Address, `
alice, bob = Listener(server, "alice"), Listener(server, "bob")
alice.open("box"), bob.open("box")
alice.do("PUT", "/v1/mailboxes/box?receipts=true")
bob.add("box", "one")
alice.hears("one")
bob.close("box")  # it is told before that how far bob is
alice.gate.set()
until(lambda: "closed" in alice.types("box"))
assert "received" in alice.types("box"), alice.heard
print("done")
`).MustSucceed("done")
}

// loser is a proxy that answers no request when it first comes, but handshakes that replace nothing. It ends the session
// of such a request. Before that, it passes a handshake on.
type loser struct {
	t      *testing.T
	server string
	proxy  *httputil.ReverseProxy
	over   int // what the server answers when it is over

	mu   sync.Mutex
	lost map[string]bool // by method and path
}

// loseOnce serves what a server serves, but what a [loser] loses. It returns the address.
func loseOnce(t *testing.T, s *e2e.Server, over int) string {
	t.Helper()
	target, err := url.Parse(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	l := &loser{t: t, server: s.URL(), proxy: httputil.NewSingleHostReverseProxy(target), over: over, lost: map[string]bool{}}
	front := httptest.NewServer(l)
	t.Cleanup(front.Close)
	return strings.TrimPrefix(front.URL, "http://")
}

func (l *loser) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		l.t.Error(err)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	var hello struct{ SessionID, Replaces string }
	begins := r.URL.Path == "/v1/sessions"
	if begins {
		if err := json.Unmarshal(body, &hello); err != nil {
			l.t.Error(err)
		}
	}
	if begins && hello.Replaces == "" || !l.loses(r.Method+" "+r.URL.Path) {
		l.proxy.ServeHTTP(w, r)
		return
	}
	credential := r.Header.Get("Authorization")
	if begins {
		l.proxy.ServeHTTP(httptest.NewRecorder(), r)
		credential = "Bearer " + hello.SessionID
	}
	for method, status := http.MethodDelete, 0; status != l.over; method = http.MethodGet {
		a, err := testclient.Exchange(r.Context(), testclient.OneShot, method, l.server+"/v1/session", http.Header{"Authorization": {credential}}, "")
		if err != nil {
			l.t.Error(err)
			break
		}
		status = a.Status
	}
	panic(http.ErrAbortHandler)
}

// loses reports whether a request comes for the first time.
func (l *loser) loses(request string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	again := l.lost[request]
	l.lost[request] = true
	return !again
}

// TestThePythonClientSurvivesALostRestart has the session that takes the place of another end before the client has an
// answer to its handshake. The side is not lost.
func TestThePythonClientSurvivesALostRestart(t *testing.T) {
	t.Parallel()
	s := e2e.Serve(t)
	runPython(t, s.Address, fmt.Sprintf(`
alice = Listener(server, "alice")
alice.open("box")
alice.end()
alice.server = "http://%s"
claim = alice.do("POST", "/v1/nameplates")
assert claim["nameplate"], claim
assert alice.do("GET", "/v1/mailboxes/box")["sides"] == [{"side": "alice"}]
print("done")
`, loseOnce(t, s, http.StatusGone))).MustSucceed("done")
}

// TestThePythonClientIsInDoubtOnlyOfWhatMayBeDone ends sessions without a trace. A command that was answered for the first
// time by that, and whatever may be done twice, is done by the next session.
func TestThePythonClientIsInDoubtOnlyOfWhatMayBeDone(t *testing.T) {
	t.Parallel()
	s := e2e.Serve(t, "--boot-grace=0s", "--tombstone-ttl=1s", "--prune-interval=1s")
	runPython(t, s.Address, fmt.Sprintf(`
alice, bob = Listener(server, "alice"), Listener(server, "bob")
alice.end("SESSION_UNKNOWN"), bob.end("SESSION_UNKNOWN")
claim = alice.do("POST", "/v1/nameplates")
assert claim["nameplate"], claim
bob.open("box")

alice, bob, carol = (Listener("http://%s", side) for side in ("alice2", "bob2", "carol2"))
try: print("not in doubt:", alice.do("POST", "/v1/nameplates")), os._exit(1)
except InDoubt as doubt: assert doubt.args == ("POST", "/v1/nameplates"), doubt
bob.open("box")
carol.close("box")
print("done")
`, loseOnce(t, s, http.StatusUnauthorized))).MustSucceed("done")
}
