package handlerstest

import (
	"context"
	"net"
	"sync"
	"time"
)

// pipes is a listener whose connections are in memory: virtual time passes while they wait.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (p *pipes) dial(ctx context.Context) (net.Conn, error) {
	mine, theirs := net.Pipe()
	select {
	case p.conns <- theirs:
		return &sender{Conn: mine}, nil
	case <-p.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "pipe"} }

// flushTime is how long a closed client's last bytes may take to be read.
const flushTime = time.Second

// sender is a client's end of a pipe. It takes what the client writes at once, as an operating system does. A pipe
// alone takes it when the server reads it, and then a client that writes and a server that writes wait for one
// another: a mutex that the server holds meanwhile keeps virtual time from passing, and the test hangs.
type sender struct {
	net.Conn

	mu      sync.Mutex
	pending []byte
	sending bool // a goroutine writes what is pending
	closed  bool
	err     error // of an earlier write
}

func (s *sender) Write(text []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return 0, net.ErrClosed
	}
	if s.err != nil {
		return 0, s.err
	}
	s.pending = append(s.pending, text...)
	if !s.sending {
		s.sending = true
		go s.send()
	}
	return len(text), nil
}

// send writes to the pipe until nothing is pending.
func (s *sender) send() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.pending) > 0 && s.err == nil {
		text := s.pending
		s.pending = nil
		s.mu.Unlock()
		_, err := s.Conn.Write(text)
		s.mu.Lock()
		s.err = err
	}
	s.sending = false
	if s.closed {
		_ = s.Conn.Close()
	}
}

// Close ends reading at once, and the connection when the server has read what was written.
func (s *sender) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	if !s.sending {
		return s.Conn.Close()
	}
	_ = s.Conn.SetReadDeadline(time.Unix(1, 0))
	return s.Conn.SetWriteDeadline(time.Now().Add(flushTime))
}

// SetWriteDeadline does nothing: what is written is taken at once.
func (s *sender) SetWriteDeadline(time.Time) error { return nil }

func (s *sender) SetDeadline(deadline time.Time) error { return s.SetReadDeadline(deadline) }
