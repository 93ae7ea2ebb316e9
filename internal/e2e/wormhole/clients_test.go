package wormhole_test

import (
	"crypto/rand"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"restante/internal/e2e"
	"restante/internal/testclient"
)

// TestWormholeText has the clients that people use send each other texts, in all
// pairs, with codes that they chose and codes that the server gave them.
func TestWormholeText(t *testing.T) {
	t.Parallel()
	for _, sender := range []string{e2e.Python, e2e.William} {
		for _, receiver := range []string{e2e.Python, e2e.William} {
			for _, given := range []bool{true, false} {
				name := sender + " to " + receiver
				if given {
					name += ", code given"
				}
				exchange := func(t *testing.T, code string) (from, to *e2e.Person, check func()) {
					t.Helper()
					s := e2e.Serve(t)
					send := []string{"send", "--text", "mail-of-the-sender"}
					if given {
						send = append(send, "--code", code)
						_, words, _ := strings.Cut(code, "-")
						s.Secret(words)
					}
					s.Secret("mail-of-the-sender")
					from = e2e.RunClient(t, s.Address, sender, send...)
					to = e2e.RunClient(t, s.Address, receiver, "receive", from.WaitCode())
					return from, to, func() {
						t.Helper()
						from.MustSucceed("text message sent")
						to.MustSucceed("mail-of-the-sender")
						if sender == e2e.William || receiver == e2e.William {
							// It may exit before its close has gone out, and its mailbox is pruned then.
							e2e.CheckUsage(t, s, "nameplates", "happy")
							return
						}
						e2e.CheckNothingLeft(t, s, map[string]int{"usage_nameplates": 1, "usage_mailboxes": 1})
					}
				}
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					if sender == receiver {
						_, _, check := exchange(t, "7-crossover-clockwork")
						check()
						return
					}
					e2e.Exchange(t, func(code string) ([]*e2e.Person, func()) {
						from, to, check := exchange(t, code)
						return []*e2e.Person{from, to}, check
					})
				})
			}
		}
	}
}

// TestWormholeFiles sends a file, which goes from one to the other without us.
func TestWormholeFiles(t *testing.T) {
	t.Parallel()
	content := make([]byte, 300<<10)
	_, _ = rand.Read(content) // never fails
	path := filepath.Join(t.TempDir(), "holiday.bin")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	for receiver, receive := range map[string][]string{
		e2e.Python:  {"receive", "--accept-file"},
		e2e.William: {"receive"},
	} {
		t.Run("to "+receiver, func(t *testing.T) {
			t.Parallel()
			e2e.Exchange(t, func(string) ([]*e2e.Person, func()) {
				s := e2e.Serve(t)
				s.Secret("holiday.bin")
				from := e2e.RunClient(t, s.Address, e2e.Python, "send", "--hide-progress", path)
				to := e2e.RunClient(t, s.Address, receiver, append(slices.Clone(receive), "--hide-progress", from.WaitCode())...)
				return []*e2e.Person{from, to}, func() {
					from.MustSucceed("Transfer complete")
					to.MustSucceed("Receiving file")
					if to.File("holiday.bin") != string(content) {
						t.Error("the file is another one now")
					}
					if receiver == e2e.Python {
						e2e.CheckNothingLeft(t, s, map[string]int{"usage_nameplates": 1, "usage_mailboxes": 1})
					}
				}
			})
		})
	}
}

// TestWormholeWrongCode is a receiver who mistyped the code: both are told.
func TestWormholeWrongCode(t *testing.T) {
	t.Parallel()
	t.Run(e2e.Python, func(t *testing.T) {
		t.Parallel()
		s := e2e.Serve(t)
		from := e2e.RunClient(t, s.Address, e2e.Python, "send", "--text", "mail", "--code", "7-crossover-clockwork")
		from.WaitCode()
		to := e2e.RunClient(t, s.Address, e2e.Python, "receive", "7-crossover-timepiece")
		from.MustFail("Key confirmation failed")
		to.MustFail("Key confirmation failed")
		e2e.CheckNothingLeft(t, s, nil)
		e2e.CheckUsage(t, s, "nameplates", "happy")
		e2e.CheckUsage(t, s, "mailboxes", "scary")
	})
	t.Run(e2e.William, func(t *testing.T) {
		t.Parallel()
		s := e2e.Serve(t)
		from := e2e.RunClient(t, s.Address, e2e.William, "send", "--text", "mail", "--code", "7-crossover-clockwork")
		from.WaitCode()
		to := e2e.RunClient(t, s.Address, e2e.William, "receive", "7-crossover-timepiece")
		from.MustFail("decrypt message failed")
		to.MustFail("decrypt message failed")
		e2e.CheckUsage(t, s, "nameplates", "happy")
	})
}

// TestWormholeAlone is about clients without a partner: a sender without an answer, and a receiver
// with a code that no sender made. They wait until they give up, for longer than a mailbox lives that
// no side holds. Then nothing is kept of them.
func TestWormholeAlone(t *testing.T) {
	t.Parallel()
	s := e2e.Serve(t, "--mailbox-ttl=6s", "--prune-interval=1s", "--boot-grace=0s")
	alone := []*e2e.Person{
		e2e.RunClient(t, s.Address, e2e.Python, "send", "--text", "mail", "--code", "7-crossover-clockwork"),
		e2e.RunClient(t, s.Address, e2e.Python, "receive", "8-crossover-clockwork"),
		e2e.RunClient(t, s.Address, e2e.William, "send", "--text", "mail", "--code", "9-crossover-clockwork"),
	}
	alone[0].WaitFor("wormhole receive 7-crossover-clockwork")
	alone[1].WaitFor("Waiting for sender")
	alone[2].WaitCode()
	e2e.Eventually(t, "all have said what they want", func() bool {
		return len(e2e.Column(t, s, "SELECT mailbox FROM messages")) == len(alone)
	})
	if err := testclient.Pause(t.Context(), 9*time.Second); err != nil {
		t.Fatal(err)
	}
	if waiting := e2e.Column(t, s, "SELECT id FROM nameplates ORDER BY id"); !slices.Equal(waiting, []string{"7", "8", "9"}) {
		t.Errorf("those who wait have the nameplates %v", waiting)
	}
	for _, p := range alone {
		p.Interrupt()
	}
	e2e.Eventually(t, "nothing is kept of those who gave up", func() bool {
		return len(e2e.Column(t, s, "SELECT id FROM nameplates UNION ALL SELECT id FROM mailboxes")) == 0
	})
	e2e.CheckNothingLeft(t, s, nil)
	for _, of := range []string{"nameplates", "mailboxes"} {
		e2e.CheckUsage(t, s, of, "pruney", "pruney", "pruney") // they went without a word
	}
}

// lonely is a Python program that uses the client's library, and takes its leave when it is told to.
const lonely = `
import os, sys
from twisted.internet import defer, task
from wormhole import create
from wormhole.errors import LonelyError

@defer.inlineCallbacks
def main(reactor):
    w = create("example.org/tea", sys.argv[1], reactor)
    w.allocate_code()
    yield w.get_code()
    while not os.path.exists("leave"):
        yield task.deferLater(reactor, 0.02, lambda: None)
    try:
        yield w.close()
    except LonelyError:
        print("no partner came")

task.react(main)
`

// TestWormholeLonely is a sender who takes leave: with the library that is
// possible, and it waits until the server has let it go.
func TestWormholeLonely(t *testing.T) {
	t.Parallel()
	s := e2e.Serve(t)
	p := e2e.RunProgram(t, "/usr/bin/python3", "-c", lonely, "ws://"+s.Address+"/v1")
	e2e.Eventually(t, "it has said what it wants", func() bool { return len(e2e.Column(t, s, "SELECT phase FROM messages")) == 1 })
	if err := os.WriteFile(filepath.Join(p.Dir, "leave"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	p.MustSucceed("no partner came")
	e2e.CheckNothingLeft(t, s, nil)
	e2e.CheckUsage(t, s, "nameplates", "lonely")
	e2e.CheckUsage(t, s, "mailboxes", "lonely")
}

// TestWormholeBothSend is two who both want to send, with the code that they
// agreed on: they meet, and each waits for the other to receive.
func TestWormholeBothSend(t *testing.T) {
	t.Parallel()
	s := e2e.Serve(t)
	one := e2e.RunClient(t, s.Address, e2e.Python, "send", "--text", "mail of one", "--code", "7-crossover-clockwork")
	two := e2e.RunClient(t, s.Address, e2e.Python, "send", "--text", "mail of two", "--code", "7-crossover-clockwork")
	e2e.Eventually(t, "both have sent their keys, their versions and their texts", func() bool {
		return len(e2e.Column(t, s, "SELECT phase FROM messages")) == 6 && len(e2e.Column(t, s, "SELECT id FROM nameplates")) == 0
	})
	if crowds := e2e.Column(t, s, "SELECT id FROM mailboxes WHERE crowded = 1"); len(crowds) > 0 {
		t.Error("two are a crowd")
	}
	one.Interrupt()
	two.Interrupt()
	e2e.CheckUsage(t, s, "nameplates", "happy")
	e2e.CheckUsage(t, s, "mailboxes")
}

// TestWormholeThirdClient is a client that uses a code that two others are about
// to use. It is told so, and the two succeed, even though one of them loses its connection right then.
func TestWormholeThirdClient(t *testing.T) {
	t.Parallel()
	s := e2e.Serve(t)
	// The receiver's claim goes through, and nothing that it says after that until there was a third.
	held, third := make(chan struct{}), make(chan struct{})
	var once sync.Once
	receiver := tap(t, s, func(w *tappedLine, c command) {
		lost := false
		if c.kind == "open" {
			once.Do(func() {
				close(held)
				<-third
				lost = true
			})
		}
		if lost {
			_ = w.client.Close() // it comes back
			return
		}
		w.pass(c)
	})
	from := e2e.RunClient(t, s.Address, e2e.Python, "send", "--text", "mail-of-the-sender", "--code", "7-crossover-clockwork")
	from.WaitFor("wormhole receive 7-crossover-clockwork")
	to := e2e.RunClient(t, receiver.address, e2e.Python, "receive", "7-crossover-clockwork")
	<-held
	e2e.RunClient(t, s.Address, e2e.Python, "receive", "7-crossover-clockwork").MustFail("crowded")
	e2e.RunClient(t, s.Address, e2e.Python, "send", "--text", "mail", "--code", "7-crossover-clockwork").MustFail("crowded")
	close(third)
	to.MustSucceed("mail-of-the-sender")
	from.MustSucceed("text message sent")
	e2e.CheckNothingLeft(t, s, nil)
	e2e.CheckUsage(t, s, "nameplates", "crowded")
	e2e.CheckUsage(t, s, "mailboxes", "crowded")
}

// TestWormholeWelcome is what an operator tells people.
func TestWormholeWelcome(t *testing.T) {
	t.Parallel()
	s := e2e.Serve(t, "--motd=Please be kind.", "--advertise-version=99.9", "--disallow-list")
	from := e2e.RunClient(t, s.Address, e2e.Python, "send", "--text", "mail", "--code", "7-crossover-clockwork")
	from.WaitFor("Please be kind.")
	from.WaitFor("99.9")
	from.Interrupt()
	closed := e2e.Serve(t, "--signal-error=Closed for the holidays.")
	e2e.RunClient(t, closed.Address, e2e.Python, "receive", "7-crossover-clockwork").MustFail("Closed for the holidays.")
	if came := e2e.Column(t, closed, "SELECT side FROM client_versions"); len(came) > 0 {
		t.Errorf("%d clients came in", len(came))
	}
	if !strings.Contains(from.Screen.String(), "7-crossover-clockwork") {
		t.Error("the message of the day replaces the code")
	}
}
