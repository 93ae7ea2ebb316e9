package wormhole_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"restante/internal/e2e"
	"restante/internal/testgate"
)

// moment is when the server is killed, for a step of a transfer.
type moment string

const (
	unheard    moment = "before it is heard"    // the command is lost
	unanswered moment = "before it is answered" // it was done, and no client was told
	answered   moment = "after it is answered"
)

// stepsOf are the steps of one side of a transfer at which the server is killed, sorted.
func stepsOf(who string, when moment) []string {
	steps := []string{"add 0", "add pake", "add version", "allocate", "bind", "claim", "close", "open", "release"}
	return slices.DeleteFunc(steps, func(step string) bool {
		return who == "receiver" && (step == "allocate" || step == "add 0" && when == unheard)
	})
}

// killer kills a server once for each step of one side of a transfer.
type killer struct {
	on      string // "sender" or "receiver"
	when    moment
	strikes chan chan struct{} // the killer closes the channel that it receives

	mu      sync.Mutex
	struck  []string    // steps, in the order in which they were made
	partner *tappedLine // the other side's connection
}

// onCommand takes a command on its way to the server.
func (k *killer) onCommand(w *tappedLine, c command) {
	if !k.strikesAt(c.step()) {
		w.pass(c)
		return
	}
	if k.when == unheard {
		w.fenced() // but what came before it is
	} else {
		w.cut.Store(k.when == unanswered)
		w.pass(c)
		w.fenced()
	}
	killed := make(chan struct{})
	k.strikes <- killed
	<-killed
	_ = w.client.Close() // the server's end is dead
}

// strikesAt tells whether this is the time to kill: each step's first.
//
// The Python client has one fault here, with any server: what it says last before it closes, it does
// not say again if the connection is lost before it is echoed. For the receiver that is its answer, "add 0", which
// is therefore never lost; and it gives it as soon as it hears the sender's "add 0", which it must not hear before the kill.
func (k *killer) strikesAt(step string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if slices.Contains(k.struck, step) || !slices.Contains(stepsOf(k.on, k.when), step) {
		return false
	}
	k.struck = append(k.struck, step)
	if k.on == "sender" && step == "add 0" && k.partner != nil {
		k.partner.cut.Store(true)
	}
	return true
}

// accompany is a command of the other side.
func (k *killer) accompany(w *tappedLine, c command) {
	k.mu.Lock()
	k.partner = w
	k.mu.Unlock()
	w.pass(c)
}

// steps are those at which the server was killed, sorted.
func (k *killer) steps() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Sorted(slices.Values(k.struck))
}

// TestWormholeKillNine kills the server with kill -9, and starts it again, at each step of a
// transfer between two Python clients, which reconnect and go on: before the command reaches it, when it has been done
// and no client was told, and after the answer. Every transfer succeeds, and leaves nothing behind.
func TestWormholeKillNine(t *testing.T) {
	t.Parallel()
	testgate.Enter(t) // for all of them
	type attack struct {
		when moment
		on   string
	}
	var attacks []attack
	for _, when := range []moment{unheard, unanswered, answered} {
		attacks = append(attacks, attack{when, "sender"}, attack{when, "receiver"})
	}
	began := time.Now()
	_ = e2e.AtOnce(attacks, func(a attack) error { // at once, since clients spend this time waiting before they reconnect
		t.Run(fmt.Sprintf("each step of the %s, %s", a.on, a.when), func(t *testing.T) { transferUnderAttack(t, a.when, a.on) })
		return nil
	})
	t.Logf("%d transfers in %v", len(attacks), time.Since(began).Round(time.Millisecond))
}

func transferUnderAttack(t *testing.T, when moment, on string) {
	s := e2e.Serve(t)
	s.Secret("mail-of-the-sender")
	k := &killer{on: on, when: when, strikes: make(chan chan struct{})}
	onCommand := map[string]func(*tappedLine, command){"sender": k.accompany, "receiver": k.accompany}
	onCommand[on] = k.onCommand
	from := e2e.RunClient(t, tap(t, s, onCommand["sender"]).address, e2e.Python, "send", "--text", "mail-of-the-sender")
	var to *e2e.Person
	toTap := tap(t, s, onCommand["receiver"])
	deadline := time.After(e2e.Limit)
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	kills := 0
	for to == nil || !from.Exited() || !to.Exited() {
		select {
		case killed := <-k.strikes:
			s.Kill()
			s.Start()
			kills++
			close(killed)
		case <-look.C: // the sender may have got on
			if to == nil && strings.Contains(from.Screen.String(), "\n\nwormhole receive ") {
				to = e2e.RunClient(t, toTap.address, e2e.Python, "receive", from.WaitCode())
			}
		case <-deadline:
			t.Fatalf("after %d kills the transfer is not done; the server was killed at %v", kills, k.steps())
		}
	}
	from.MustSucceed("text message sent")
	to.MustSucceed("mail-of-the-sender")
	if n := strings.Count(to.Screen.String(), "mail-of-the-sender"); n != 1 {
		t.Errorf("the mail came %d times:\n%s", n, to.Screen.String())
	}
	if steps, want := k.steps(), stepsOf(on, when); !slices.Equal(steps, want) {
		t.Errorf("the server was killed at %v, want %v", steps, want)
	}
	s.WaitReady()
	e2e.CheckNothingLeft(t, s, map[string]int{"usage_nameplates": 1, "usage_mailboxes": 1})
	t.Logf("%d kills", kills)
}
