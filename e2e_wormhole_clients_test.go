package main

import (
	"crypto/rand"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestWormholeText has the clients that people use send each other texts, in all
// pairs, with codes that they chose and codes that the server gave them.
func TestWormholeText(t *testing.T) {
	t.Parallel()
	for _, sender := range []string{python, william} {
		for _, receiver := range []string{python, william} {
			for _, code := range []string{"7-crossover-clockwork", ""} {
				name := sender + " to " + receiver
				if code != "" {
					name += ", code given"
				}
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					s := serve(t)
					send := []string{"send", "--text", "mail-of-the-sender"}
					if code != "" {
						send = append(send, "--code", code)
					}
					s.secret("mail-of-the-sender", "crossover-clockwork")
					from := runs(t, s.address, sender, send...)
					to := runs(t, s.address, receiver, "receive", from.code())
					from.succeeds("text message sent")
					to.succeeds("mail-of-the-sender")
					if sender == william || receiver == william {
						// It may exit before its close has gone out, and its mailbox is pruned then.
						went(t, s, "nameplates", "happy")
						return
					}
					empty(t, s, map[string]int{"usage_nameplates": 1, "usage_mailboxes": 1})
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
		python:  {"receive", "--accept-file"},
		william: {"receive"},
	} {
		t.Run("to "+receiver, func(t *testing.T) {
			t.Parallel()
			s := serve(t)
			s.secret("holiday.bin")
			from := runs(t, s.address, python, "send", "--hide-progress", path)
			to := runs(t, s.address, receiver, append(receive, "--hide-progress", from.code())...)
			from.succeeds("Transfer complete")
			to.succeeds("Receiving file")
			if to.file("holiday.bin") != string(content) {
				t.Error("the file is another one now")
			}
			if receiver == python {
				empty(t, s, map[string]int{"usage_nameplates": 1, "usage_mailboxes": 1})
			}
		})
	}
}

// TestWormholeWrongCode is a receiver who mistyped the code: both are told.
func TestWormholeWrongCode(t *testing.T) {
	t.Parallel()
	t.Run(python, func(t *testing.T) {
		t.Parallel()
		s := serve(t)
		from := runs(t, s.address, python, "send", "--text", "mail", "--code", "7-crossover-clockwork")
		from.code()
		to := runs(t, s.address, python, "receive", "7-crossover-timepiece")
		from.fails("Key confirmation failed")
		to.fails("Key confirmation failed")
		empty(t, s, nil)
		went(t, s, "nameplates", "happy")
		went(t, s, "mailboxes", "scary")
	})
	t.Run(william, func(t *testing.T) {
		t.Parallel()
		s := serve(t)
		from := runs(t, s.address, william, "send", "--text", "mail", "--code", "7-crossover-clockwork")
		from.code()
		to := runs(t, s.address, william, "receive", "7-crossover-timepiece")
		from.fails("decrypt message failed")
		to.fails("decrypt message failed")
		went(t, s, "nameplates", "happy")
	})
}

// TestWormholeAlone is about those who wait for nobody: a sender whom nobody
// answers, and a receiver who typed a code that nobody made. They wait, longer than a mailbox lives that nobody
// holds, until they give up, and then nothing is kept of them.
func TestWormholeAlone(t *testing.T) {
	t.Parallel()
	s := serve(t, "--mailbox-ttl=1s", "--prune-interval=1s", "--boot-grace=0s")
	alone := []*person{
		runs(t, s.address, python, "send", "--text", "mail", "--code", "7-crossover-clockwork"),
		runs(t, s.address, python, "receive", "8-crossover-clockwork"),
		runs(t, s.address, william, "send", "--text", "mail", "--code", "9-crossover-clockwork"),
	}
	alone[0].sees("wormhole receive 7-crossover-clockwork")
	alone[1].sees("Waiting for sender")
	alone[2].code()
	eventually(t, patience, "all have said what they want", func() bool {
		return len(kept(t, s, "SELECT mailbox FROM messages")) == len(alone)
	})
	if err := pause(t.Context(), 3*time.Second); err != nil {
		t.Fatal(err)
	}
	if waiting := kept(t, s, "SELECT id FROM nameplates ORDER BY id"); !slices.Equal(waiting, []string{"7", "8", "9"}) {
		t.Errorf("those who wait have the nameplates %v", waiting)
	}
	for _, p := range alone {
		p.givesUp()
	}
	eventually(t, patience, "nothing is kept of those who gave up", func() bool {
		return len(kept(t, s, "SELECT id FROM nameplates UNION ALL SELECT id FROM mailboxes")) == 0
	})
	empty(t, s, nil)
	for _, of := range []string{"nameplates", "mailboxes"} {
		went(t, s, of, "pruney", "pruney", "pruney") // they went without a word
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
        print("nobody came")

task.react(main)
`

// TestWormholeLonely is a sender who takes leave: with the library that is
// possible, and it waits until the server has let it go.
func TestWormholeLonely(t *testing.T) {
	t.Parallel()
	s := serve(t)
	p := starts(t, "/usr/bin/python3", "-c", lonely, "ws://"+s.address+"/v1")
	eventually(t, patience, "it has said what it wants", func() bool { return len(kept(t, s, "SELECT phase FROM messages")) == 1 })
	if err := os.WriteFile(filepath.Join(p.dir, "leave"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	p.succeeds("nobody came")
	empty(t, s, nil)
	went(t, s, "nameplates", "lonely")
	went(t, s, "mailboxes", "lonely")
}

// TestWormholeBothSend is two who both want to send, with the code that they
// agreed on: they meet, and each waits for the other to receive.
func TestWormholeBothSend(t *testing.T) {
	t.Parallel()
	s := serve(t)
	one := runs(t, s.address, python, "send", "--text", "mail of one", "--code", "7-crossover-clockwork")
	two := runs(t, s.address, python, "send", "--text", "mail of two", "--code", "7-crossover-clockwork")
	eventually(t, patience, "both have sent their keys, their versions and their texts", func() bool {
		return len(kept(t, s, "SELECT phase FROM messages")) == 6 && len(kept(t, s, "SELECT id FROM nameplates")) == 0
	})
	if crowds := kept(t, s, "SELECT id FROM mailboxes WHERE crowded = 1"); len(crowds) > 0 {
		t.Error("two are a crowd")
	}
	one.givesUp()
	two.givesUp()
	went(t, s, "nameplates", "happy")
	went(t, s, "mailboxes")
}

// TestWormholeThirdClient is somebody who types a code that two others are about
// to use. It is told so, and the two succeed, even though one of them loses its connection right then.
func TestWormholeThirdClient(t *testing.T) {
	t.Parallel()
	s := serve(t)
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
	from := runs(t, s.address, python, "send", "--text", "mail-of-the-sender", "--code", "7-crossover-clockwork")
	from.sees("wormhole receive 7-crossover-clockwork")
	to := runs(t, receiver.address, python, "receive", "7-crossover-clockwork")
	<-held
	runs(t, s.address, python, "receive", "7-crossover-clockwork").fails("crowded")
	runs(t, s.address, python, "send", "--text", "mail", "--code", "7-crossover-clockwork").fails("crowded")
	close(third)
	to.succeeds("mail-of-the-sender")
	from.succeeds("text message sent")
	empty(t, s, nil)
	went(t, s, "nameplates", "crowded")
	went(t, s, "mailboxes", "crowded")
}

// TestWormholeWelcome is what an operator tells people.
func TestWormholeWelcome(t *testing.T) {
	t.Parallel()
	s := serve(t, "--motd=Please be kind.", "--advertise-version=99.9", "--disallow-list")
	from := runs(t, s.address, python, "send", "--text", "mail", "--code", "7-crossover-clockwork")
	from.sees("Please be kind.")
	from.sees("99.9")
	from.givesUp()
	closed := serve(t, "--signal-error=Closed for the holidays.")
	runs(t, closed.address, python, "receive", "7-crossover-clockwork").fails("Closed for the holidays.")
	if came := kept(t, closed, "SELECT side FROM client_versions"); len(came) > 0 {
		t.Errorf("%d clients came in", len(came))
	}
	if !strings.Contains(from.screen.String(), "7-crossover-clockwork") {
		t.Error("the message of the day replaces the code")
	}
}
