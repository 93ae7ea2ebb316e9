package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strings"
	"sync"
	"testing"

	"restante/internal/testclient"
)

// Member is one half of a pair: a client, what it said, and what it heard.
type Member struct {
	*testclient.Client
	Mailbox string
	Mark    string // what its messages begin with
	Size    int    // how many bytes each of them has, at least

	mu   sync.Mutex
	Said []int64 // the position of each message it added, as it was told
}

// Pair is two clients that talk to each other.
type Pair [2]*Member

// Meet has two clients find each other through a nameplate and open the mailbox behind it.
func (p Pair) Meet(ctx context.Context) error {
	type claim struct{ Nameplate, Mailbox string }
	var first claim
	for i, m := range p {
		if err := m.Handshake(ctx); err != nil {
			return err
		}
		method, path := http.MethodPost, "/v1/nameplates"
		if i == 1 {
			method, path = http.MethodPut, "/v1/nameplates/"+first.Nameplate // as it was told over the telephone
		}
		a, err := m.Command(ctx, method, path, nil)
		if err != nil {
			return err
		}
		var mine claim
		if err := json.Unmarshal(a.Body, &mine); err != nil {
			return err
		}
		if i == 1 && mine != first {
			return fmt.Errorf("one claimed %v, the other %v", first, mine)
		}
		first, m.Mailbox = mine, mine.Mailbox
		if _, err := m.Command(ctx, http.MethodPut, "/v1/mailboxes/"+m.Mailbox, nil); err != nil {
			return err
		}
	}
	for _, m := range p {
		if _, err := m.Command(ctx, http.MethodDelete, "/v1/nameplates/"+first.Nameplate, nil); err != nil {
			return err
		}
	}
	return nil
}

// inFlight is how many messages a member sends without waiting for the answers.
const inFlight = 3

// talk adds messages, one after the other and some at once, until it is to stop.
func (m *Member) talk(ctx context.Context, stop <-chan struct{}) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	slots := make(chan struct{}, inFlight)
	var sending sync.WaitGroup
	for k := 0; ; k++ {
		select {
		case slots <- struct{}{}:
		case <-stop:
			sending.Wait()
			return context.Cause(ctx)
		case <-ctx.Done():
			sending.Wait()
			return context.Cause(ctx)
		}
		n := m.Number()
		m.mu.Lock()
		m.Said = append(m.Said, 0)
		m.mu.Unlock()
		sending.Go(func() {
			defer func() { <-slots }()
			a, err := m.SendAgain(ctx, 0, n, http.MethodPost, "/v1/mailboxes/"+m.Mailbox+"/messages", m.Message(k))
			var added struct{ Position int64 }
			if err == nil {
				err = json.Unmarshal(a.Body, &added)
			}
			if err != nil {
				cancel(err)
				return
			}
			m.mu.Lock()
			m.Said[k] = added.Position
			m.mu.Unlock()
		})
	}
}

// Message is the k-th that a member sends.
func (m *Member) Message(k int) map[string]string {
	body := fmt.Sprintf("%s-%d", m.Mark, k)
	return map[string]string{"phase": fmt.Sprint(k), "body": body + strings.Repeat(".", max(0, m.Size-len(body)))}
}

// hear receives until it has heard as much as its partner will have said, each
// message once and in order.
func (m *Member) hear(ctx context.Context, from *Member, silent <-chan struct{}) error {
	// The number of messages is known only when the other member has fallen silent. A member that has heard them
	// all by then would find out at the next frame or heartbeat, so the receive is cut short.
	ctx, cut := context.WithCancel(ctx)
	defer cut()
	heard := 0
	complete := func() bool {
		from.mu.Lock()
		defer from.mu.Unlock()
		return heard == len(from.Said)
	}
	var mu sync.Mutex // guards heard
	go func() {
		select {
		case <-ctx.Done():
		case <-silent:
			mu.Lock()
			defer mu.Unlock()
			if complete() {
				cut()
			}
		}
	}()
	var last int64
	err := m.Listen(ctx, func(f testclient.Frame) (bool, error) {
		if f.Type != "message" {
			if f.Type == "opened" && f.Side == from.Side() && heard == 0 {
				return false, nil
			}
			return false, errors.New("not expected here")
		}
		mu.Lock()
		defer mu.Unlock()
		want := from.Message(heard)
		switch {
		case f.Side != from.Side() || f.Mailbox != m.Mailbox || f.Phase != want["phase"] || f.Body != want["body"]:
			return false, fmt.Errorf("message %d of %s was expected", heard, from.Side())
		case f.Position <= last:
			return false, fmt.Errorf("position %d after %d", f.Position, last)
		}
		heard, last = heard+1, f.Position
		select {
		case <-silent:
			return complete(), nil
		default:
			return false, nil
		}
	})
	mu.Lock()
	defer mu.Unlock()
	if complete() && errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// CheckLog reads the whole log of a mailbox, which must hold what its members have sent,
// once and where the answers said, and nothing else.
func CheckLog(ctx context.Context, members ...*Member) error {
	type entry struct {
		Position          int64
		Side, Phase, Body string
	}
	var log []entry
	for {
		var page struct {
			Messages     []entry
			LastPosition int64
		}
		if err := members[0].Query(ctx, fmt.Sprintf("/v1/mailboxes/%s/messages?after=%d", members[0].Mailbox, len(log)), &page); err != nil {
			return err
		}
		if log = append(log, page.Messages...); int64(len(log)) >= page.LastPosition {
			break
		}
		if len(page.Messages) == 0 {
			return fmt.Errorf("the log ends after %d of %d messages", len(log), page.LastPosition)
		}
	}
	sent := 0
	for _, m := range members {
		sent += len(m.Said)
	}
	if len(log) != sent {
		return fmt.Errorf("the log has %d messages, %d were sent", len(log), sent)
	}
	for _, m := range members {
		for k, at := range m.Said {
			want := m.Message(k)
			if at < 1 || at > int64(len(log)) || log[at-1] != (entry{at, m.Side(), want["phase"], want["body"]}) {
				return fmt.Errorf("message %d of %s is not at %d in the log", k, m.Side(), at)
			}
			if k > 0 && at <= m.Said[k-1] {
				return fmt.Errorf("message %d of %s is at %d, the one before at %d", k, m.Side(), at, m.Said[k-1])
			}
		}
	}
	return nil
}

// Part has both close the mailbox and end their sessions.
func (p Pair) Part(ctx context.Context) error {
	for _, m := range p {
		if _, err := m.Command(ctx, http.MethodDelete, "/v1/mailboxes/"+m.Mailbox+"?mood=happy", nil); err != nil {
			return err
		}
		if _, err := m.End(ctx); err != nil {
			return err
		}
	}
	return nil
}

// NewPairs makes so many pairs of clients of a server.
func NewPairs(s *Server, n int) []Pair {
	couples := make([]Pair, n)
	for i := range couples {
		for j := range couples[i] {
			side := fmt.Sprintf("side-%d-%d", i, j)
			couples[i][j] = &Member{Client: NewClient(s, side), Mark: "mail-of-" + side}
		}
	}
	s.Secret("mail-of-")
	return couples
}

// converse has all pairs meet and talk, until they are to stop and have heard
// everything that was said.
func converse(ctx context.Context, couples []Pair, stop <-chan struct{}) error {
	return AtOnce(couples, func(p Pair) error {
		if err := p.Meet(ctx); err != nil {
			return err
		}
		silent := [2]chan struct{}{make(chan struct{}), make(chan struct{})}
		return AtOnce([]int{0, 1}, func(i int) error {
			return AtOnce([]func() error{
				func() error {
					defer close(silent[i])
					return p[i].talk(ctx, stop)
				},
				func() error { return p[i].hear(ctx, p[1-i], silent[1-i]) },
			}, func(f func() error) error { return f() })
		})
	})
}

// Conversation is the talk of several pairs, which goes on while a test does something else.
type Conversation struct {
	Pairs []Pair
	stop  chan struct{}
	ended chan error
}

// StartConversation has all pairs talk until [Conversation.End].
func StartConversation(ctx context.Context, couples []Pair) *Conversation {
	c := &Conversation{Pairs: couples, stop: make(chan struct{}), ended: make(chan error, 1)}
	go func() { c.ended <- converse(ctx, couples, c.stop) }()
	return c
}

// MustGoOn fails the test if they have stopped by themselves.
func (c *Conversation) MustGoOn(t *testing.T) {
	t.Helper()
	select {
	case err := <-c.ended:
		t.Fatalf("they stopped talking: %v", err)
	default:
	}
}

// Said is how many messages there are so far.
func (c *Conversation) Said() (n int) {
	for _, p := range c.Pairs {
		for _, m := range p {
			m.mu.Lock()
			n += len(m.Said)
			m.mu.Unlock()
		}
	}
	return n
}

// Least is how many messages each member has said so far, or more.
func (c *Conversation) Least() int {
	least := math.MaxInt
	for _, p := range c.Pairs {
		for _, m := range p {
			m.mu.Lock()
			least = min(least, len(m.Said))
			m.mu.Unlock()
		}
	}
	return least
}

// End has them stop, once everybody has heard everything, and compares their logs.
func (c *Conversation) End(ctx context.Context, t *testing.T) *testclient.Tally {
	t.Helper()
	close(c.stop)
	if err := <-c.ended; err != nil {
		t.Fatal(err)
	}
	if err := AtOnce(c.Pairs, func(p Pair) error { return CheckLog(ctx, p[:]...) }); err != nil {
		t.Fatal(err)
	}
	total := &testclient.Tally{}
	for _, p := range c.Pairs {
		for _, m := range p {
			total.Add(&m.Count)
		}
	}
	if heard := int(total.Frames.Load()); heard < c.Said() {
		t.Fatalf("%d messages were said, %d frames heard", c.Said(), heard)
	}
	return total
}

// AtOnce runs one function for each, at once, and waits.
func AtOnce[T any](of []T, f func(T) error) error {
	errs := make([]error, len(of))
	var running sync.WaitGroup
	for i, one := range of {
		running.Go(func() { errs[i] = f(one) })
	}
	running.Wait()
	return errors.Join(errs...)
}
