package idleconn

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"sync"
)

// Options are what a [Server] can be told.
type Options struct {
	Log *slog.Logger
	// Disabled has every request wait on its goroutine.
	Disabled bool
}

// Server is an [http.Server] whose requests can wait without a goroutine: see [Wait].
type Server struct {
	http    *http.Server
	pool    *Pool // nil: requests wait on their goroutines
	quiet   *quietConns
	serving sync.WaitGroup // of the pool
}

// NewServer wraps a server that does not serve yet. It sets the server's ConnContext and ConnState. Close must be called.
func NewServer(server *http.Server, options Options) *Server {
	s := &Server{http: server, quiet: &quietConns{}}
	server.ConnState = s.quiet.watch
	if options.Disabled {
		return s
	}
	pool, err := NewPool(options.Log)
	if err != nil {
		options.Log.Debug("requests wait on their goroutines", "error", err)
		return s
	}
	pool.quiet, pool.idleTimeout = s.quiet, server.IdleTimeout
	s.pool = pool
	server.ConnContext = pool.connContext
	s.serving.Go(func() { _ = server.Serve(pool) }) // until the server is shut down
	return s
}

// Serve accepts connections from l until Shutdown or Close, and then returns [http.ErrServerClosed].
func (s *Server) Serve(l net.Listener) error { return s.http.Serve(l) }

// CloseQuiet closes the connection on which nothing has been under way for longest. It returns false if a request is under
// way on each.
func (s *Server) CloseQuiet() bool { return s.quiet.closeFirst() }

// Shutdown stops gracefully. It waits until no request waits in the pool any more, then closes the connections on
// which the client has sent nothing, and then does as [http.Server.Shutdown]. It does not end what the requests
// wait for: the caller does. Once ctx ends, it closes the connections that are still in the pool.
func (s *Server) Shutdown(ctx context.Context) error {
	s.pool.settle(ctx)
	s.quiet.closeNew()
	return s.http.Shutdown(ctx)
}

// Close closes every connection, except those that a handler has hijacked.
func (s *Server) Close() error {
	err := s.http.Close()
	_ = s.pool.Close() // it never fails
	s.serving.Wait()
	return err
}
