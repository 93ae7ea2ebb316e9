package e2e_test

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"restante/internal/e2e"
)

// pythonBlocks returns the client of docs/protocol.md and the program that goes on with it, for a server at an address.
func pythonBlocks(t *testing.T, address string) (client, program string) {
	t.Helper()
	text, err := os.ReadFile(e2e.Path("docs/protocol.md"))
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(text), "```python\n")
	if len(blocks) != 3 || !strings.Contains(blocks[2], "alice = Client(\"http://localhost:4000\"") {
		t.Fatalf("docs/protocol.md has no client and program for localhost:4000 in %d blocks", len(blocks)-1)
	}
	client, _, _ = strings.Cut(blocks[1], "```")
	program, _, _ = strings.Cut(blocks[2], "```")
	return client, strings.ReplaceAll(program, "localhost:4000", address)
}

// partner talks to the client of docs/protocol.md until that has received the last message. In the middle, the session of
// the client ends, and at three quarters its own.
const partner = `
bob = Client(alice.server, alice.app, secrets.token_hex(4))
bob.do("PUT", "/v1/nameplates/" + claim["nameplate"])
bob.open(claim["mailbox"])
for n in range(messages):
    if n == messages // 2: alice.ask(alice.session, "DELETE", "/v1/session")
    if n == messages * 3 // 4: bob.ask(bob.session, "DELETE", "/v1/session")
    bob.do("POST", f"/v1/mailboxes/{claim['mailbox']}/messages", {"phase": "p", "body": str(n)})
last.wait()
alice.close(claim["mailbox"]), bob.close(claim["mailbox"])
print("done")
os._exit(0)  # the thread that receives goes on for ever
`

// TestThePythonClientOfTheProtocol runs the client of docs/protocol.md as it stands. The server is killed while it talks,
// and sessions end: each message arrives once and in order.
func TestThePythonClientOfTheProtocol(t *testing.T) {
	t.Parallel()
	const messages = 40
	s := e2e.Serve(t, "--drain=0s")
	// What the client receives is printed, and the last message is waited for.
	prelude := fmt.Sprintf(`import builtins, os, threading
messages, last = %d, threading.Event()
def print(*said):
    builtins.print(*said)
    if isinstance(said[0], dict) and said[0].get("body") == str(messages - 1): last.set()
`, messages)
	client, program := pythonBlocks(t, s.Address)
	p := e2e.RunProgram(t, "/usr/bin/python3", "-c", prelude+client+program+partner)
	for _, received := range []int{5, 15, messages * 5 / 8} {
		p.WaitFor(fmt.Sprintf("'body': '%d'", received))
		s.Kill()
		s.Start()
		s.WaitReady()
	}
	p.MustSucceed("done")
	screen := p.Screen.String()
	bodies := regexp.MustCompile(`'body': '(\d+)'`).FindAllStringSubmatch(screen, -1)
	for n, body := range bodies {
		if body[1] != fmt.Sprint(n) {
			t.Fatalf("message %s comes where %d is due", body[1], n)
		}
	}
	if len(bodies) != messages {
		t.Errorf("%d messages arrive, of %d", len(bodies), messages)
	}
	e2e.CheckNothingLeft(t, s, map[string]int{"usage_nameplates": 1, "usage_mailboxes": 1})
}
