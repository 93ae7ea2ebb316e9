package bench

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// connecting is how many clients connect at once.
const connecting = 32

// idle makes clients wait, and measures what they cost.
func (l *load) idle(ctx context.Context) error {
	before, err := l.resident(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var waiting sync.WaitGroup
	defer waiting.Wait()
	defer cancel(nil)
	places := make(chan struct{}, connecting)
	for client := range l.Pairs {
		select {
		case places <- struct{}{}:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		waiting.Go(func() {
			p, err := l.join(ctx, fmt.Sprintf("c%d", client))
			if err == nil {
				err = p.open(fmt.Sprintf("%s%d", l.run, client))
			}
			<-places
			l.shown.add(1)
			if err == nil {
				err = p.idle()
			}
			if ctx.Err() == nil {
				cancel(fmt.Errorf("a client that waited: %w", err))
			}
		})
	}
	l.shown.say("waiting")
	l.start()
	select {
	case <-time.After(time.Until(l.end)):
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	after, err := l.resident(ctx)
	l.memory = Memory{Clients: l.Pairs, Before: before, After: after, PerClient: float64(after-before) / float64(l.Pairs)}
	return err
}

// resident returns the resident memory of the server, in bytes.
func (l *load) resident(ctx context.Context) (int64, error) {
	if l.PID > 0 {
		return residentOfProcess(l.PID)
	}
	c, err := dial(ctx, l.target)
	if err != nil {
		return 0, err
	}
	defer c.hangUp()
	metrics, err := c.do("GET", "/metrics", "", nil)
	if err != nil {
		return 0, fmt.Errorf("its memory is not known; give --pid: %w", err)
	}
	lines := bufio.NewScanner(bytes.NewReader(metrics))
	for lines.Scan() {
		if value, is := strings.CutPrefix(lines.Text(), "process_resident_memory_bytes "); is {
			resident, err := strconv.ParseFloat(value, 64)
			return int64(resident), err
		}
	}
	return 0, errors.New("its /metrics do not tell its memory; give --pid")
}

// residentOfProcess returns the resident memory of a process, from proc_pid_statm(5).
func residentOfProcess(pid int) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(text))
	if len(fields) < 2 {
		return 0, fmt.Errorf("/proc/%d/statm has no such field", pid)
	}
	pages, err := strconv.ParseInt(fields[1], 10, 64)
	return pages * int64(os.Getpagesize()), err
}
