package bench

import (
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// progress shows that the work continues.
type progress struct {
	count atomic.Int64
	step  atomic.Pointer[string]
	stop  chan struct{}
	ended sync.WaitGroup
}

// show prints progress every second: on one line of a terminal, on lines of their own otherwise.
func show(to io.Writer, name string) *progress {
	p := &progress{stop: make(chan struct{})}
	p.say("connecting")
	before, after := "", "\n"
	if file, is := to.(*os.File); is {
		if info, err := file.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
			before, after = "\r\x1b[K", ""
		}
	}
	p.ended.Go(func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for last := int64(0); ; {
			select {
			case <-p.stop:
				if after == "" {
					_, _ = fmt.Fprint(to, before)
				}
				return
			case <-tick.C:
				now := p.count.Load()
				_, _ = fmt.Fprintf(to, "%s%s: %s, %d (%d a second)%s", before, name, *p.step.Load(), now, now-last, after)
				last = now
			}
		}
	})
	return p
}

// say sets the name of what is being done.
func (p *progress) say(step string) { p.step.Store(&step) }

// add counts something done.
func (p *progress) add(n int64) { p.count.Add(n) }

// end stops showing progress.
func (p *progress) end() {
	close(p.stop)
	p.ended.Wait()
}
