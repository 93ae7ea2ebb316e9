package bench

import (
	"context"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// load is one round.
type load struct {
	Command
	target *url.URL
	shown  *progress
	run    string // names what belongs to this round

	begin, end time.Time // when it is measured
	all        tally
	checked    atomic.Int64
	faults     atomic.Int64
	fault      atomic.Pointer[string] // the first
	memory     Memory
}

// together runs play for each pair at the same time, and waits. The first error ends them all.
func (l *load) together(ctx context.Context, play func(ctx context.Context, pair int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var running sync.WaitGroup
	for pair := range l.Pairs {
		running.Go(func() {
			if err := play(ctx, pair); err != nil {
				cancel(err)
			}
		})
	}
	running.Wait()
	return context.Cause(ctx)
}

// start sets the clock.
func (l *load) start() {
	l.begin = time.Now().Add(l.Warmup)
	l.end = l.begin.Add(l.Duration)
}

// over reports whether the time is up.
func (l *load) over() bool { return !time.Now().Before(l.end) }

// done counts something that began then and ends now.
func (l *load) done(t *tally, since time.Time) {
	now := time.Now()
	l.shown.add(1)
	l.checked.Add(1)
	if now.After(l.begin) && now.Before(l.end) {
		t.took = append(t.took, now.Sub(since))
	}
}

// wrong records a mistake of the server.
func (l *load) wrong(format string, args ...any) {
	l.faults.Add(1)
	text := fmt.Sprintf(format, args...)
	l.fault.CompareAndSwap(nil, &text)
}

// result returns what was measured.
func (l *load) result() Result {
	r := Result{Operations: len(l.all.took), Seconds: l.Duration.Seconds(), Latency: l.all.quantiles(), Checked: l.checked.Load(), Faults: l.faults.Load()}
	r.PerSecond = float64(r.Operations) / r.Seconds
	if first := l.fault.Load(); first != nil {
		r.FirstFault = *first
	}
	if l.memory.Clients > 0 {
		r.Memory = &l.memory
	}
	return r
}

// minSize is the size of the smallest message, in bytes.
const minSize = 40

// newBody returns the body of message n, which holds the time of sending.
func (l *load) newBody(n int) string {
	head := strconv.Itoa(n) + " " + strconv.FormatInt(time.Since(l.begin).Nanoseconds(), 10) + " "
	return head + strings.Repeat("x", max(0, l.Size-len(head)))
}

// read checks that a body is that of message n, and counts it.
func (l *load) read(t *tally, newBody string, n int) {
	number, rest, _ := strings.Cut(newBody, " ")
	stamp, pad, _ := strings.Cut(rest, " ")
	sent, err := strconv.ParseInt(stamp, 10, 64)
	if number != strconv.Itoa(n) || err != nil || len(newBody) != l.Size || strings.Trim(pad, "x") != "" {
		l.wrong("message %d was to come, and %q came", n, newBody[:min(len(newBody), minSize)])
		return
	}
	l.done(t, l.begin.Add(time.Duration(sent)))
}
