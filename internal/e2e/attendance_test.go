package e2e_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"

	"restante/internal/e2e"
	"restante/internal/testclient"
	"restante/repo/pgtest"
)

// attendee is a session that receives over one transport, while it is there, and keeps what it is told.
type attendee struct {
	*listener
	stop func() error // leaves, without a word

	mu     sync.Mutex
	frames []testclient.Frame
	more   chan struct{} // closed at the next frame
}

func newAttendee(s *e2e.Server, side, mailbox string, live func(*listener, context.Context) (ending, error)) *attendee {
	a := &attendee{more: make(chan struct{})}
	a.listener = &listener{Client: e2e.NewClient(s, side), mailbox: mailbox, live: live, each: func(f testclient.Frame) {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.frames = append(a.frames, f)
		close(a.more)
		a.more = make(chan struct{})
	}}
	return a
}

// enter begins the session and opens the mailbox.
func (a *attendee) enter(ctx context.Context, query string) error {
	if err := a.Handshake(ctx); err != nil {
		return err
	}
	_, err := a.Command(ctx, http.MethodPut, "/v1/mailboxes/"+a.mailbox+query, nil)
	return err
}

// attend receives from now on.
func (a *attendee) attend(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- a.listen(ctx) }()
	a.stop = func() error {
		cancel()
		a.HTTP.CloseIdleConnections()
		return <-ended
	}
}

// comeBack resumes the session at a server.
func (a *attendee) comeBack(ctx context.Context, at *e2e.Server) error {
	a.MoveTo(at.URL())
	if err := a.Handshake(ctx); err != nil {
		return err
	}
	a.attend(ctx)
	return nil
}

// await waits until the last frame of a type is as it should be.
func (a *attendee) await(ctx context.Context, kind string, is func(testclient.Frame) bool) error {
	for {
		a.mu.Lock()
		frames, more := slices.Clone(a.frames), a.more
		a.mu.Unlock()
		slices.Reverse(frames)
		if i := slices.IndexFunc(frames, func(f testclient.Frame) bool { return f.Type == kind }); i >= 0 && is(frames[i]) {
			return nil
		}
		select {
		case <-more:
		case <-ctx.Done():
			return fmt.Errorf("%s waits for %s: %w; it was told %+v", a.Side(), kind, context.Cause(ctx), frames)
		}
	}
}

// knows waits until the other side is told to be here, or away for a reason.
func (a *attendee) knows(ctx context.Context, state, reason string) error {
	return a.await(ctx, "presence", func(f testclient.Frame) bool { return f.State == state && f.Reason == reason })
}

// couple is a session that watches, and the one that it watches.
type couple struct{ watcher, peer *attendee }

// say has the watcher send a message, and wait for its receipt. It returns how long after the receipt it was told.
func (c couple) say(ctx context.Context) (took time.Duration, err error) {
	a, err := c.watcher.Command(ctx, http.MethodPost, "/v1/mailboxes/"+c.watcher.mailbox+"/messages", map[string]string{"phase": "p", "body": "b"})
	var added struct{ Position int64 }
	if err == nil {
		err = json.Unmarshal(a.Body, &added)
	}
	if err == nil {
		err = c.peer.await(ctx, "message", func(f testclient.Frame) bool { return f.Position == added.Position })
	}
	if err != nil {
		return 0, err
	}
	received := time.Now()
	err = c.watcher.await(ctx, "received", func(f testclient.Frame) bool { return f.Position >= added.Position })
	return time.Since(received), err
}

// check holds that what was told of the other side changed each time, and that receipts went on.
func (c couple) check() error {
	c.watcher.mu.Lock()
	defer c.watcher.mu.Unlock()
	var presence testclient.Frame
	var received int64
	for _, f := range c.watcher.frames {
		switch {
		case f.Type == "presence" && f.State == presence.State && f.Reason == presence.Reason,
			f.Type == "received" && f.Position <= received,
			(f.Type == "presence" || f.Type == "received") && f.Side != c.peer.Side():
			return fmt.Errorf("%s is told %+v, after %+v and %d", c.watcher.Side(), f, presence, received)
		case f.Type == "presence":
			presence = f
		case f.Type == "received":
			received = f.Position
		}
	}
	return nil
}

// silence is after how long without a sign of life a session is away.
const silence = 4 * time.Second

// TestAttendanceAcrossReplicas has sessions watch others through other replicas, over each transport. What they are told
// is right in the end, whatever is killed: the replica that holds the peer, with the peer and without it; the replica that
// holds the watcher, which goes on at another one. A replica that cannot reach the storage makes its clients appear to be
// away, which is corrected.
func TestAttendanceAcrossReplicas(t *testing.T) {
	t.Parallel()
	cluster := pgtest.Shared(t)
	database := cluster.Database(t)
	servers := replicas(t, 3, database, "--heartbeat-interval=2s", "--heartbeats-until-dead=2")
	way := cuttableTo(t, cluster.Address())
	ctx := e2e.Context(t)
	var couples []couple
	for kind, live := range map[string]func(*listener, context.Context) (ending, error){
		"poll": (*listener).poll, "stream": (*listener).stream, "socket": (*listener).socket,
	} {
		couples = append(couples, couple{newAttendee(servers[1], kind+"-watcher", kind, live), newAttendee(servers[0], kind+"-peer", kind, live)})
	}
	// step does something with each couple at once, and logs how long it took, less what it has to take.
	step := func(what string, less time.Duration, do func(couple) error) {
		t.Helper()
		began := time.Now()
		var mu sync.Mutex
		took := map[string]time.Duration{}
		err := e2e.AtOnce(couples, func(c couple) error {
			err := do(c)
			mu.Lock()
			defer mu.Unlock()
			took[c.peer.mailbox] = (time.Since(began) - less).Round(time.Millisecond)
			return err
		})
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		t.Logf("%s: %v", what, took)
	}
	restart := func(s *e2e.Server) {
		s.Start()
		s.WaitReady()
	}
	receipts := func(when string) {
		t.Helper()
		var mu sync.Mutex
		took := map[string]time.Duration{}
		step("a message, and its receipt, "+when, 0, func(c couple) error {
			after, err := c.say(ctx)
			mu.Lock()
			defer mu.Unlock()
			took[c.peer.mailbox] = after.Round(time.Millisecond)
			return err
		})
		t.Logf("  told after the message was received: %v", took)
	}
	gone := func(c couple) error { return c.peer.stop() }

	step("the peer is here", 0, func(c couple) error {
		if err := errors.Join(c.watcher.enter(ctx, "?presence=true&receipts=true"), c.peer.enter(ctx, "")); err != nil {
			return err
		}
		c.watcher.attend(ctx)
		c.peer.attend(ctx)
		return c.watcher.knows(ctx, "here", "")
	})
	receipts("on other replicas")

	servers[0].Kill()
	step("the peer is lost with its replica, and goes away", 0, gone)
	step("it is told to be away, after its silence", silence, func(c couple) error { return c.watcher.knows(ctx, "away", "silent") })
	step("it comes back at another replica", 0, func(c couple) error {
		if err := c.peer.comeBack(ctx, servers[2]); err != nil {
			return err
		}
		return c.watcher.knows(ctx, "here", "")
	})
	at, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	servers[0].Database = "postgres://postgres@" + way.address() + at.Path + "?sslmode=disable&application_name=cut"
	restart(servers[0])

	for _, c := range couples {
		c.peer.MoveTo(servers[0].URL())
	}
	servers[2].Kill()
	receipts("when the replica of the peer was killed, and the peer goes on at another one")
	step("the peer is still here, or again", 0, func(c couple) error { return c.watcher.knows(ctx, "here", "") })
	restart(servers[2])

	way.cut()
	// What was under way keeps nothing locked: the database finds out sooner than it would by itself.
	cluster.Exec(t, "postgres", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'cut'")
	step("the peer's replica cannot reach the storage: the peer is told to be away, which is not so", silence, func(c couple) error {
		return c.watcher.knows(ctx, "away", "silent")
	})
	way.mend()
	step("the replica reaches the storage: this is corrected", 0, func(c couple) error { return c.watcher.knows(ctx, "here", "") })

	servers[1].Kill() // the watchers try to go on there
	step("the peer ends its session, while the watcher has no replica", 0, func(c couple) error {
		if err := c.peer.stop(); err != nil {
			return err
		}
		_, err := c.peer.End(ctx)
		return err
	})
	step("the watcher goes on at another replica, and is told", 0, func(c couple) error {
		c.watcher.MoveTo(servers[2].URL())
		return c.watcher.knows(ctx, "away", "deleted")
	})
	step("they were told what changed, once, and in order", 0, func(c couple) error {
		return errors.Join(c.watcher.stop(), c.check())
	})
}
