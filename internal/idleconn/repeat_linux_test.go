package idleconn_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"restante/internal/idleconn"
)

// poll is a [idleconn.Repeater]. Its handler answers "handled", and it says "beat".
type poll struct {
	mu      sync.Mutex
	ready   bool
	onReady func()
	closed  bool

	beats, repeats atomic.Int64
	silent         atomic.Bool   // it does not answer itself
	unwilling      atomic.Bool   // it does not wait anew
	panics         atomic.Bool   // the next call panics
	every          time.Duration // it is ready by itself
}

func (p *poll) OnReady(f func()) {
	p.mu.Lock()
	ready := p.ready
	if !ready {
		p.onReady = f
	}
	p.mu.Unlock()
	if ready {
		f()
	}
}

func (p *poll) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
}

func (p *poll) Answer(into []byte) []byte {
	if p.panics.CompareAndSwap(true, false) {
		panic("on purpose")
	}
	if p.silent.Load() {
		return nil
	}
	p.mu.Lock()
	p.ready, p.closed = false, true
	p.mu.Unlock()
	p.beats.Add(1)
	return append(into, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbeat"...)
}

func (p *poll) Repeat() bool {
	if p.panics.CompareAndSwap(true, false) {
		panic("on purpose")
	}
	if p.unwilling.Load() {
		return false
	}
	p.start()
	p.repeats.Add(1)
	return true
}

func (p *poll) start() {
	p.mu.Lock()
	p.closed = false
	p.mu.Unlock()
	if p.every > 0 {
		time.AfterFunc(rand.N(p.every), p.set)
	}
}

func (p *poll) set() {
	p.mu.Lock()
	f := p.onReady
	p.ready, p.onReady = true, nil
	p.mu.Unlock()
	if f != nil {
		f()
	}
}

func (p *poll) isClosed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.closed
}

// polling is a harness whose GET /poll waits for its only poll.
type polling struct {
	*harness
	*poll

	handled, unwaited atomic.Int64 // requests that the handler served, and those that found nothing to go on with
}

func startPolling(t testing.TB, idleTimeout time.Duration) *polling {
	t.Helper()
	p := &polling{poll: &poll{}}
	p.harness = openWith(t, idleTimeout, p)
	return p
}

func (p *polling) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	serveOnePoll(p.harness, p.poll, &p.handled, &p.unwaited, w, r)
}

func serveOnePoll(h *harness, p *poll, handled, unwaited *atomic.Int64, w http.ResponseWriter, r *http.Request) {
	waiter := idleconn.Resume(r)
	h.pool.Store(idleconn.PoolOf(r.Context()))
	if r.URL.Path != "/poll" {
		if waiter != nil {
			h.Error("a request that did not wait is resumed")
		}
		_, _ = io.WriteString(w, "at once")
		return
	}
	handled.Add(1)
	if waiter == nil {
		unwaited.Add(1)
		p.start()
		if idleconn.Wait(w, r, p) { // unless the server stops
			h.waited.Add(1)
			return
		}
	}
	p.Close()
	_, _ = io.WriteString(w, "handled")
}

const onePoll = "GET /poll HTTP/1.1\r\nHost: x\r\nSay: a word\r\n\r\n"

// turn has the poll wait and get its heartbeat.
func (p *polling) turn(c *client) {
	p.Helper()
	beats := p.beats.Load()
	c.say(onePoll)
	eventually(p, "it waits", func() bool { return p.harness.waited.Load()+p.repeats.Load() == beats+1 })
	p.set()
	c.expect("beat")
}

// known has three turns: by the third one, the server knows the request as it is sent.
func (p *polling) known() *client {
	p.Helper()
	c := p.dial()
	for range 3 {
		p.turn(c)
	}
	if n, repeats := p.handled.Load(), p.repeats.Load(); n != 2 || repeats != 1 {
		p.Fatalf("the handler served %d of three requests, and %d waited without it; want 2 and 1", n, repeats)
	}
	return c
}

func TestARequestThatIsRepeatedNeedsNoHandler(t *testing.T) {
	p := startPolling(t, time.Hour)
	c := p.known()
	for range 5 {
		p.turn(c)
	}
	if n := p.handled.Load(); n != 2 {
		t.Errorf("the handler served %d, want 2", n)
	}
	if !p.isClosed() {
		t.Error("the poll goes on after its answer")
	}
}

func TestWhatIsNoRepetitionIsServed(t *testing.T) {
	const now = "GET /now HTTP/1.1\r\nHost: x\r\n\r\n"
	tests := map[string]struct {
		say  []string // in several packets
		want []string
	}{
		"another request":           {[]string{now}, []string{"at once"}},
		"another one, in parts":     {[]string{now[:20], now[20:]}, []string{"at once"}},
		"another header":            {[]string{strings.Replace(onePoll, "word", "wort", 1)}, []string{"beat"}},
		"the same, in parts":        {[]string{onePoll[:30], onePoll[30:]}, []string{"beat"}},
		"the same, and another one": {[]string{onePoll + now}, []string{"handled", "at once"}},
		"two of them":               {[]string{now + now}, []string{"at once", "at once"}},
		"something else, and it":    {[]string{now + onePoll}, []string{"at once", "beat"}},
		"what is no HTTP":           {[]string{"hello, is there anybody?\r\n\r\n"}, []string{"400 Bad Request"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			p := startPolling(t, time.Hour)
			c := p.known()
			repeats, waited := p.repeats.Load(), p.harness.waited.Load()
			for _, part := range tt.say {
				c.say(part)
				<-time.After(5 * time.Millisecond) // most often, so long after the part before that it comes alone
			}
			for _, want := range tt.want {
				if want == "beat" {
					eventually(t, "it waits", func() bool { return p.harness.waited.Load()+p.repeats.Load() > waited+repeats })
					p.set()
				}
				c.expect(want)
			}
		})
	}
}

// Nothing of what was sent with a request may count as a part of it later.
func TestARequestThatWasSentWithAnotherIsNotTakenForIt(t *testing.T) {
	tests := map[string]string{
		"after one":                     "GET /now HTTP/1.1\r\nHost: x\r\n\r\n" + onePoll,
		"after one, in lines with LF":   "GET /now HTTP/1.1\nHost: x\n\n" + onePoll,
		"after one, in lines of either": "GET /now HTTP/1.1\nHost: x\n\r\n" + onePoll,
	}
	for name, both := range tests {
		t.Run(name, func(t *testing.T) {
			p := startPolling(t, time.Hour)
			c := p.dial()
			p.turn(c) // what comes next is read by the pool
			for turn := range int64(4) {
				c.say(both)
				c.expect("at once")
				eventually(t, "it waits", func() bool { return p.harness.waited.Load() == turn+2 })
				p.set()
				c.expect("beat")
			}
			if n := p.repeats.Load(); n != 0 {
				t.Errorf("%d were taken for a repetition", n)
			}
		})
	}
}

func TestARequestWhoseLinesEndWithLFIsNotTakenForARepetition(t *testing.T) {
	p := startPolling(t, time.Hour)
	c := p.dial()
	for turn := range int64(4) {
		c.say("GET /poll HTTP/1.1\nHost: x\n\n")
		eventually(t, "it waits", func() bool { return p.harness.waited.Load() == turn+1 })
		p.set()
		c.expect("beat")
	}
}

func TestAPollThatDoesNotAnswerIsServed(t *testing.T) {
	p := startPolling(t, time.Hour)
	c := p.known()
	p.silent.Store(true)
	c.say(onePoll)
	eventually(t, "it waits", func() bool { return p.repeats.Load() == 2 })
	p.set()
	c.expect("handled")
	if n := p.unwaited.Load(); n != 2 {
		t.Errorf("%d requests began anew, want 2: the last one had waited", n)
	}
}

func TestAPollThatIsNotTakenAgainIsServedAnew(t *testing.T) {
	p := startPolling(t, time.Hour)
	c := p.known()
	p.unwilling.Store(true)
	c.say(onePoll)
	eventually(t, "it waits", func() bool { return p.harness.waited.Load() == 3 })
	if n := p.unwaited.Load(); n != 3 {
		t.Errorf("%d requests began anew, want 3", n)
	}
	p.set()
	c.expect("beat")
}

func TestAConnectionWhoseNextRequestIsAwaited(t *testing.T) {
	ends := func(t *testing.T, c *client) {
		t.Helper()
		if b, err := c.in.ReadByte(); !errors.Is(err, io.EOF) {
			t.Errorf("got %q and %v, want its end", b, err)
		}
	}
	t.Run("is closed after the idle timeout", func(t *testing.T) {
		p := startPolling(t, 500*time.Millisecond)
		c := p.dial()
		p.turn(c)
		ends(t, c)
	})
	t.Run("is closed when there are too many", func(t *testing.T) {
		p := startPolling(t, time.Hour)
		c := p.known()
		eventually(t, "there is one to be closed", p.server.CloseQuiet)
		ends(t, c)
		if p.server.CloseQuiet() {
			t.Error("there is another one")
		}
	})
	t.Run("is closed when the server stops", func(t *testing.T) {
		p := startPolling(t, time.Hour)
		c := p.known()
		if err := p.server.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		ends(t, c)
	})
	t.Run("is closed with the server", func(t *testing.T) {
		p := startPolling(t, time.Hour)
		c := p.known()
		_ = p.server.Close()
		ends(t, c)
	})
	t.Run("is closed with the pool", func(t *testing.T) {
		p := startPolling(t, time.Hour)
		c := p.known()
		_ = p.pool.Load().Close()
		ends(t, c)
	})
	t.Run("is closed with its client's end", func(t *testing.T) {
		p := startPolling(t, time.Hour)
		before := openFiles(t)
		c := p.known()
		_ = c.Close()
		eventually(t, "none is left", func() bool { return openFiles(t) == before })
	})
	for call, say := range map[string]bool{"an answer": false, "a repetition": true} {
		t.Run("is closed after a panic of "+call, func(t *testing.T) {
			p := startPolling(t, time.Hour)
			c := p.known()
			if say {
				p.panics.Store(true)
				c.say(onePoll)
			} else {
				c.say(onePoll)
				eventually(t, "it waits", func() bool { return p.repeats.Load() == 2 })
				p.panics.Store(true)
				p.set()
			}
			ends(t, c)
			if err := p.server.Shutdown(t.Context()); err != nil {
				t.Errorf("something of it is left: %v", err)
			}
		})
	}
}

// openFiles returns how many files and connections this process has open.
func openFiles(t testing.TB) int {
	t.Helper()
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(files)
}

// A request that is repeated while the server stops is answered, or its connection is closed.
func TestStoppingWhileRequestsAreRepeated(t *testing.T) {
	for range 20 {
		p := startPolling(t, time.Hour)
		p.every = time.Millisecond
		c := p.dial()
		var client sync.WaitGroup
		client.Go(func() {
			for {
				if _, err := io.WriteString(c, onePoll); err != nil {
					return
				}
				response, err := http.ReadResponse(c.in, nil)
				if err != nil {
					return
				}
				_, _ = io.Copy(io.Discard, response.Body)
				_ = response.Body.Close()
			}
		})
		eventually(t, "it goes round", func() bool { return p.repeats.Load() > 3 })
		soon, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
		if err := p.server.Shutdown(soon); err != nil {
			t.Errorf("something still waits: %v", err)
		}
		cancel()
		client.Wait()
	}
}

// Whenever polls are ready and clients leave, each request is answered once, or its client has left.
func TestNoRepetitionIsLost(t *testing.T) {
	many := &manyPolls{}
	many.harness = openWith(t, time.Hour, many)
	var clients sync.WaitGroup
	for client := range 30 {
		clients.Go(func() {
			c := many.dial()
			request := fmt.Sprintf("GET /poll?%d HTTP/1.1\r\nHost: x\r\n\r\n", client)
			for range 60 {
				if rand.IntN(20) == 0 {
					c.say("GET /now HTTP/1.1\r\nHost: x\r\n\r\n")
					c.expect("at once")
				}
				c.say(request)
				if rand.IntN(20) == 0 {
					<-time.After(rand.N(2 * time.Millisecond))
					_ = c.Close()
					c = many.dial()
					request = fmt.Sprintf("GET /poll?%d HTTP/1.1\r\nHost: x\r\n\r\n", rand.Int())
					continue
				}
				c.expect("beat")
			}
		})
	}
	clients.Wait()
	soon, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	if err := many.server.Shutdown(soon); err != nil {
		t.Errorf("something still waits: %v", err)
	}
	if many.repeats() == 0 {
		t.Error("nothing was ever repeated")
	}
}

// manyPolls is a harness whose GET /poll waits for the poll of its query.
type manyPolls struct {
	*harness
	polls             sync.Map
	handled, unwaited atomic.Int64
}

func (m *manyPolls) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	of, _ := m.polls.LoadOrStore(r.URL.RawQuery, &poll{every: time.Millisecond})
	serveOnePoll(m.harness, of.(*poll), &m.handled, &m.unwaited, w, r)
}

func (m *manyPolls) repeats() (n int64) {
	m.polls.Range(func(_, p any) bool {
		n += p.(*poll).repeats.Load()
		return true
	})
	return n
}
