package apifuzz

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"strings"
	"time"
)

// answer is what a server answered, and what it cost.
type answer struct {
	status int
	header http.Header
	body   bytes.Buffer
	sent   int64 // bytes of the body, also where it is not kept
	took   time.Duration
	work   work
	panic  string

	head    bool // no body is sent
	flushes int
	leave   context.CancelFunc // called when the client has read enough of a stream
}

// streamed is how many events of a stream a client reads before it leaves.
const streamed = 2

var errLeft = errors.New("the client has left")

// Header implements [http.ResponseWriter].
func (a *answer) Header() http.Header { return a.header }

// WriteHeader implements [http.ResponseWriter].
func (a *answer) WriteHeader(status int) {
	if a.status == 0 && status >= http.StatusOK {
		a.status = status
		a.header = a.header.Clone() // what is set later is not sent
	}
}

// Write implements [http.ResponseWriter].
func (a *answer) Write(b []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	if a.flushes >= streamed {
		return 0, errLeft
	}
	a.sent += int64(len(b))
	if a.head {
		return len(b), http.ErrBodyNotAllowed
	}
	return a.body.Write(b)
}

// FlushError implements what [http.ResponseController] looks for.
func (a *answer) FlushError() error {
	if a.flushes++; a.flushes >= streamed {
		a.leave()
	}
	return nil
}

// ask sends a request to a handler.
func ask(h http.Handler, in *input) *answer {
	ctx, cancel := context.Background(), context.CancelFunc(func() {})
	if strings.Contains(strings.Join(in.header["Accept"], ","), "event-stream") { // the others end by themselves
		ctx, cancel = context.WithCancel(ctx)
	}
	defer cancel()
	a := &answer{header: http.Header{}, leave: cancel, head: in.method == http.MethodHead}
	r := in.request(context.WithValue(ctx, workKey{}, &a.work))
	if r == nil {
		return nil
	}
	began := time.Now()
	func() {
		defer func() {
			if p := recover(); p != nil {
				a.panic = fmt.Sprintf("%v\n%s", p, debug.Stack())
			}
		}()
		h.ServeHTTP(a, r)
	}()
	a.took = time.Since(began)
	a.WriteHeader(http.StatusOK)
	return a
}
