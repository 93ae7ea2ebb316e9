package e2e

import (
	"bytes"
	"sync"
)

// Output takes in what a process writes.
type Output struct {
	mu     sync.Mutex
	text   bytes.Buffer
	marked int
}

func (l *Output) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *Output) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// mark notes where the log is now; latest is what comes after.
func (l *Output) mark() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.marked = l.text.Len()
}

// Latest returns what was written since the process was started last.
func (l *Output) Latest() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.text.Bytes()[l.marked:])
}
