package logqueue_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"restante/internal/logqueue"
)

// pipe takes in text, each time that it is read from.
type pipe struct {
	text strings.Builder
	read chan struct{} // a write waits for it; closed: none does
}

func (p *pipe) Write(b []byte) (int, error) {
	<-p.read
	return p.text.Write(b)
}

// newQueue makes a queue that writes to a pipe.
func newQueue(p *pipe) *logqueue.Queue {
	return logqueue.New(p, func(dropped int) { _, _ = fmt.Fprintf(p, "%d are missing\n", dropped) })
}

// write writes the lines from one number to another.
func write(t *testing.T, q *logqueue.Queue, from, to int) (lines string) {
	t.Helper()
	var all strings.Builder
	for i := from; i < to; i++ {
		line := fmt.Sprintln(i)
		if n, err := q.Write([]byte(line)); n != len(line) || err != nil {
			t.Fatal(n, err)
		}
		all.WriteString(line)
	}
	return all.String()
}

// Lines are passed on in their order, also those that are left at the end.
func TestLinesKeepTheirOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &pipe{read: make(chan struct{})}
		close(p.read)
		q := newQueue(p)
		want := write(t, q, 0, 1000)
		q.Close()
		write(t, q, 1000, 1001) // too late
		q.Close()
		if got := p.text.String(); got != want {
			t.Errorf("it passed on %q", got)
		}
	})
}

// While lines are not read, the first of them wait, and the others are counted. Both are passed on where they belong.
func TestDropsWhatIsTooMuch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &pipe{read: make(chan struct{})}
		q := newQueue(p)
		want := write(t, q, 0, 1)
		synctest.Wait() // it is being written
		want += write(t, q, 1, 1+logqueue.MaxLines)
		write(t, q, 0, 7)
		p.read <- struct{}{}
		synctest.Wait() // there is room for one
		want += "7 are missing\n" + write(t, q, 10_000, 10_001)
		write(t, q, 0, 3)
		close(p.read)
		synctest.Wait()
		want += "3 are missing\n" + write(t, q, 20_000, 20_001)
		q.Close()
		if got := p.text.String(); got != want {
			t.Errorf("it passed on %q, want %q", got, want)
		}
	})
}

// The end does not wait long for a reader.
func TestCloseIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &pipe{read: make(chan struct{})}
		q := newQueue(p)
		write(t, q, 0, 5)
		began := time.Now()
		q.Close()
		if took := time.Since(began); took != logqueue.CloseTimeout {
			t.Errorf("it took %v", took)
		}
		close(p.read) // the goroutine ends
	})
}
