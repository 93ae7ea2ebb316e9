package handlerstest

import (
	"bytes"
	"strings"
	"sync"
)

// Logs keeps what a server logs.
type Logs struct {
	mu    sync.Mutex
	lines bytes.Buffer
}

// Write implements [io.Writer].
func (l *Logs) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lines.Write(line)
}

// String returns all lines.
func (l *Logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lines.String()
}

// Secret notes what the log must never have in it.
func (w *Server) Secret(s ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.secrets = append(w.secrets, s...)
}

// checkLog runs when the test ends.
func (w *Server) checkLog() {
	w.Helper()
	logged := w.Logs.String()
	for _, secret := range w.secrets {
		if strings.Contains(logged, secret) {
			w.Errorf("the log holds %q:\n%s", secret, logged)
		}
	}
	for line := range strings.Lines(logged) {
		if w.Failed() && strings.Contains(line, `"level":"ERROR"`) {
			w.Log(line)
		}
	}
}
