package parking

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"slices"
)

// Waiting is what a parked request waits for.
type Waiting interface {
	// OnReady has f called once, when the request is to go on; if that is now, at the end of OnReady. f
	// returns at once.
	OnReady(f func())
	// Leave is called if the request never goes on: the server has stopped.
	Close()
}

// longestHead is kept of a request: one that is longer costs more than a goroutine.
const longestHead = 8 << 10

// line is the connection below a request.
type line struct{ conn net.Conn }

type keyOfLine struct{}

// ConnContext is to be that of the [http.Server].
func (l *Lot) ConnContext(ctx context.Context, conn net.Conn) context.Context {
	if l == nil {
		return ctx
	}
	return context.WithValue(ctx, keyOfLine{}, line{conn})
}

// Parks tells whether Park could park a request.
func (l *Lot) Parks(r *http.Request) bool {
	below, is := r.Context().Value(keyOfLine{}).(line)
	if l == nil || !is || r.ProtoMajor != 1 || r.Close || r.Body != http.NoBody {
		return false
	}
	conn := below.conn
	if b, is := conn.(*returning); is {
		conn = b.Conn
	}
	_, is = conn.(*net.TCPConn)
	return is
}

// Park parks a request of which nothing was answered. It answers false if that cannot be; if it
// answers true, neither w nor r may be used any more.
func (l *Lot) Park(w http.ResponseWriter, r *http.Request, until Waiting) bool {
	if !l.Parks(r) {
		return false
	}
	head := headOf(r)
	if len(head) > longestHead {
		return false
	}
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return false
	}
	rest, _ := buffered.Reader.Peek(buffered.Reader.Buffered())
	if before, is := conn.(*returning); is {
		conn, rest = before.Conn, slices.Concat(rest, before.unread)
	}
	b := &returning{Conn: conn, unread: slices.Concat(head, rest), stirs: len(rest) > 0, lot: l, waiting: until}
	l.park(b, until)
	return true
}

// headOf is a request without a body as it was sent (RFC 9112, §3 and §5).
func headOf(r *http.Request) []byte {
	var head bytes.Buffer
	fmt.Fprintf(&head, "%s %s %s\r\nHost: %s\r\n", r.Method, r.RequestURI, r.Proto, r.Host)
	_ = r.Header.Write(&head) // a buffer takes all
	head.WriteString("\r\n")
	return bytes.Clone(head.Bytes())
}

// park parks a connection. It may be served again before park returns, so nothing of it is touched once it can
// be called out.
func (l *Lot) park(b *returning, until Waiting) {
	l.mu.Lock()
	l.countLocked(1)
	l.mu.Unlock()
	if b.stirs {
		l.goOn(b)
		return
	}
	p, err := l.enter(b.Conn, func(stirs bool) {
		b.stirs = stirs
		l.returnLocked(b)
	})
	if err != nil {
		b.stirs = true // it is served as others are
		l.goOn(b)
		return
	}
	until.OnReady(func() { l.call(p) })
	l.attend(p)
}

// goOn has a connection go on, if any does.
func (l *Lot) goOn(b *returning) {
	l.mu.Lock()
	closed := l.closed
	if !closed {
		l.returnLocked(b)
	}
	l.mu.Unlock()
	if closed {
		_ = b.Close() // nothing is under way on it
	}
}

// returnLocked has the server take a connection back.
func (l *Lot) returnLocked(b *returning) {
	l.back = append(l.back, b)
	select {
	case l.arrived <- struct{}{}:
	default: // it has not looked since the last
	}
}

// Accept implements [net.Listener]: it waits for a connection that goes on.
func (l *Lot) Accept() (net.Conn, error) {
	for {
		if b := l.next(); b != nil {
			return b, nil
		}
		select {
		case <-l.arrived:
		case <-l.done:
			return nil, net.ErrClosed
		}
	}
}

func (l *Lot) next() *returning {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.back) == 0 {
		l.back = nil
		return nil
	}
	b := l.back[0]
	l.back = l.back[1:]
	return b
}

// Addr implements [net.Listener]. There is no address: nobody connects to it.
func (l *Lot) Addr() net.Addr { return nowhere{} }

type nowhere struct{}

func (nowhere) Network() string { return "parking" }
func (nowhere) String() string  { return "parked connections" }

// returning is a connection on its way back to the server, which reads first what it had read before.
type returning struct {
	net.Conn
	unread []byte
	stirs  bool

	lot     *Lot
	waiting Waiting // until it is resumed; guarded by the lot's lock
}

// Read implements [net.Conn].
func (b *returning) Read(into []byte) (int, error) {
	if len(b.unread) == 0 {
		return b.Conn.Read(into)
	}
	n := copy(into, b.unread)
	if b.unread = b.unread[n:]; len(b.unread) == 0 {
		b.unread = nil
	}
	return n, nil
}

// Close implements [net.Conn].
func (b *returning) Close() error {
	if w := b.resume(); w != nil {
		w.Close()
	}
	return b.Conn.Close()
}

func (b *returning) resume() Waiting {
	b.lot.mu.Lock()
	defer b.lot.mu.Unlock()
	w := b.waiting
	if b.waiting = nil; w != nil {
		b.lot.countLocked(-1)
	}
	return w
}

// Returns tells a connection with a request that was parked from a new one, on which nothing has been said.
func Returns(conn net.Conn) bool {
	_, is := conn.(*returning)
	return is
}

// Below is the connection below one that was parked, once all is read that had been read before; any other
// is its own.
func Below(conn net.Conn) net.Conn {
	if b, is := conn.(*returning); is && len(b.unread) == 0 {
		return b.Conn
	}
	return conn
}

// Resume is what a request waits for that was parked, nil for any other, and from then on. If the connection
// stirs, it must not be parked again. Whoever is answered one must have it end.
func Resume(r *http.Request) (w Waiting, stirs bool) {
	below, _ := r.Context().Value(keyOfLine{}).(line)
	if b, is := below.conn.(*returning); is {
		return b.resume(), b.stirs
	}
	return nil, false
}
