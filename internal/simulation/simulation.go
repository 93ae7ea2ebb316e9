package simulation

import (
	"fmt"
	"strings"
	"time"
)

// Options say what is simulated.
type Options struct {
	Seed  uint64
	First uint64 // the first history
	Steps int64  // about how many, in all
	Bug   Bug    // planted; "" is none
	// Random makes what the server itself draws repeat: it is called with a seed before each history. nil: it does not
	// repeat, and a history may go another way if it is played again.
	Random func(seed uint64)
}

// Report is what was simulated.
type Report struct {
	Steps     int64
	Ticks     int64 // of these, those of servers' loops, and faults
	Histories uint64
	Virtual   time.Duration
	Commands  int64 // that were committed
	Frames    int64 // that reached their clients, repeated ones included
	Resumed   int64
	Restarts  int64 // of servers, orderly or not
	Failed    int64 // commits that failed
	Lost      int64 // commits that were lost, or succeeded untold
	Dropped   int64 // requests, replies and notifications that were lost
	Late      int64 // requests that came late
	Pruned    int64 // mailboxes
	Expired   int64 // sessions
	Digest    uint64
}

// Violation is a broken promise.
type Violation struct {
	Seed, History uint64
	Step          int64 // of the history
	What          string
	Last          []string // the last events, the latest last
}

func (v *Violation) Error() string {
	lines := append([]string{fmt.Sprintf("seed %d, history %d, step %d: %s", v.Seed, v.History, v.Step, v.What)}, v.Last...)
	return strings.Join(lines, "\n\t")
}

// historyActs is how many things happen in a history, besides the ticks of loops.
const historyActs = 3000

// Run simulates one history after the other. It returns the first [Violation].
func Run(o Options) (r Report, err error) {
	for r.Steps < o.Steps {
		number := o.First + r.Histories
		if o.Random != nil {
			o.Random(o.Seed<<32 ^ number)
		}
		h := newHistory(o, number, &r)
		if err := h.run(); err != nil {
			return r, err
		}
		r.Histories++
	}
	return r, nil
}
