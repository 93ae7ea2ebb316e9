package handlers

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"time"

	"restante/api"
	"restante/rendezvous"
	"restante/session"
)

const (
	// maxAdds is how many adds of a socket are under way at once, at most. The other half of the session's window is
	// for what it sends over HTTP.
	maxAdds = session.Window / 2
	// maxAddBytes is the same in bytes of their commands, if there are several.
	maxAddBytes = 256 << 10
)

// pipeline holds the adds of a socket that are under way, in the order in which they came. Each has a transaction of
// its own, and they can share a commit. Their replies are sent in this order, too, so a client cannot tell them from
// adds of which each began after the one before was answered.
type pipeline struct {
	mu       sync.Mutex
	underWay []*pendingAdd
	bytes    int         // of their commands
	sending  bool        // replies are being sent
	waiting  *sync.Cond  // on mu: for adds to be done, or answered; nil before the first add
	next     chan func() // to goroutines that have done an add and wait for another; likewise
}

// pendingAdd is an add that is under way.
type pendingAdd struct {
	size  int // of its command
	done  bool
	reply []byte // nil: the client has left
}

// isAdd reports whether a command adds messages to a mailbox, and does nothing else.
func isAdd(command api.SocketCommand) bool {
	return command.Method == http.MethodPost && strings.HasPrefix(command.Path, "/v1/mailboxes/") && strings.HasSuffix(command.Path, "/messages")
}

// beginAdd begins an add as soon as there is room, and returns when it has its place behind the others in the
// storage's queue. If it gets no place there, because it is refused before or the storage has no queue, beginAdd
// returns when it is answered.
func (c *sessionSocket) beginAdd(ctx context.Context, command api.SocketCommand, size int) {
	a := c.adds.enter(size)
	placed := make(chan struct{})
	place := sync.OnceFunc(func() { close(placed) })
	c.goAdd(ctx, func() {
		defer place()
		defer c.finishAdd(ctx, a) // also after a panic
		turn := context.WithValue(ctx, turnKey{}, func() { c.adds.await(a) })
		a.reply, _ = c.answer(rendezvous.OnQueued(turn, place), command)
	})
	<-placed
}

// goAdd does an add on a goroutine that waits for one, or on a new one, which then waits a while for others: its stack has
// grown to what an add needs, and that costs a new goroutine four copies.
func (c *sessionSocket) goAdd(ctx context.Context, add func()) {
	select {
	case c.adds.next <- add:
		return
	default:
	}
	c.Go(func() {
		for {
			add()
			select {
			case add = <-c.adds.next:
			case <-time.After(c.server.Limits.Linger):
				return
			case <-ctx.Done():
				return
			}
		}
	})
}

// enter puts an add behind the others as soon as there is room.
func (p *pipeline) enter(size int) *pendingAdd {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.waiting == nil {
		p.waiting, p.next = sync.NewCond(&p.mu), make(chan func())
	}
	for len(p.underWay) > 0 && (len(p.underWay) >= maxAdds || p.bytes+size > maxAddBytes) {
		p.waiting.Wait()
	}
	a := &pendingAdd{size: size}
	p.underWay = append(p.underWay, a)
	p.bytes += size
	return a
}

// await waits until the adds ahead of one are done.
func (p *pipeline) await(a *pendingAdd) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.isBehind(a) {
		p.waiting.Wait()
	}
}

// isBehind reports whether an add ahead of this one is not done.
func (p *pipeline) isBehind(a *pendingAdd) bool {
	for _, ahead := range p.underWay {
		if ahead == a || !ahead.done {
			return ahead != a
		}
	}
	return false
}

type turnKey struct{}

// awaitTurn waits until the adds ahead of a request are done, if it is one of a socket: it is about to tell which
// command is wanted, and has no transaction that would come after theirs.
func awaitTurn(ctx context.Context) {
	if wait, ok := ctx.Value(turnKey{}).(func()); ok {
		wait()
	}
}

// drain waits until no add is under way, and all are answered. Adds end soon after the socket's context does.
func (p *pipeline) drain() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.underWay) > 0 {
		p.waiting.Wait()
	}
}

// finishAdd notes that an add is done, and sends the replies that are next. Those that are there together go together.
// It is the sender of one goroutine at a time.
func (c *sessionSocket) finishAdd(ctx context.Context, a *pendingAdd) {
	p := &c.adds
	p.mu.Lock()
	defer p.mu.Unlock()
	a.done = true
	p.waiting.Broadcast()
	if p.sending {
		return
	}
	p.sending = true
	defer func() { p.sending = false }()
	for {
		var replies [][]byte
		n := 0
		for ; n < len(p.underWay) && p.underWay[n].done; n++ {
			if reply := p.underWay[n].reply; reply != nil {
				replies = append(replies, reply)
			}
		}
		if n == 0 {
			return
		}
		p.mu.Unlock()
		if ctx.Err() == nil && len(replies) > 0 {
			_ = c.Send(replies...) // if the client does not read, ctx ends, and with it the socket
		}
		p.mu.Lock()
		p.leave(n)
	}
}

// leave takes out the first n adds, which are answered.
func (p *pipeline) leave(n int) {
	for _, a := range p.underWay[:n] {
		p.bytes -= a.size
	}
	p.underWay = p.underWay[n:]
	if len(p.underWay) == 0 {
		p.underWay = nil // an idle socket holds no memory for it
	}
	p.waiting.Broadcast()
}
