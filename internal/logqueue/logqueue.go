// Package logqueue stands between a log and what takes it in, which may be a pipe that is read slowly or not at all:
// nothing that writes a line waits for it.
//
// It is a package of its own because it knows nothing of a server: it passes lines on.
package logqueue

import (
	"bytes"
	"io"
	"sync"
	"time"
)

const (
	// MaxLines is how many lines wait at most.
	MaxLines = 1024
	// CloseTimeout is how long Close waits for the lines that are left.
	CloseTimeout = time.Second
)

// Queue is a writer that does not block: each Write is a line, which a goroutine passes on, in order. While too many lines
// wait, others are dropped and counted. Any goroutine may use it.
type Queue struct {
	to   io.Writer
	tell func(dropped int)
	done chan struct{} // closed when the goroutine has ended

	mu      sync.Mutex
	lines   chan entry
	dropped int // since the last line that waits
	closed  bool
}

// entry is a line that waits.
type entry struct {
	dropped int // lines that are missing before it
	line    []byte
}

// New makes a queue that passes lines on to a writer. Where lines are missing, it calls tell, which writes to the same writer
// how many: nothing else is written meanwhile.
func New(to io.Writer, tell func(dropped int)) *Queue {
	q := &Queue{to: to, tell: tell, done: make(chan struct{}), lines: make(chan entry, MaxLines)}
	go q.run()
	return q
}

// Write takes a line, and never fails. After Close, it drops it.
func (q *Queue) Write(line []byte) (int, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return len(line), nil
	}
	select {
	case q.lines <- entry{q.dropped, bytes.Clone(line)}:
		q.dropped = 0
	default:
		q.dropped++
	}
	return len(line), nil
}

// Close waits until the lines are passed on, but not long.
func (q *Queue) Close() {
	q.mu.Lock()
	if !q.closed {
		q.closed = true
		close(q.lines)
	}
	q.mu.Unlock()
	timeout := time.NewTimer(CloseTimeout)
	defer timeout.Stop()
	select {
	case <-q.done:
	case <-timeout.C:
	}
}

// run passes lines on until the queue is closed and empty. It does not matter to the program whether they can be written.
func (q *Queue) run() {
	defer close(q.done)
	for e := range q.lines {
		q.report(e.dropped)
		_, _ = q.to.Write(e.line)
		q.report(q.droppedLast())
	}
}

// droppedLast returns how many lines are missing after the last one, if that was passed on.
func (q *Queue) droppedLast() (n int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.lines) == 0 {
		n, q.dropped = q.dropped, 0
	}
	return n
}

// report tells how many lines are missing here, if any are.
func (q *Queue) report(dropped int) {
	if dropped > 0 {
		q.tell(dropped)
	}
}
