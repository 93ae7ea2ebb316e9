package e2e_test

import (
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"restante/internal/e2e"
	"restante/internal/testclient"
	"restante/repo/pgtest"
)

// TestPostgresGoesAway takes the database from servers under load, in the two ways there are:
// it is restarted, and refuses; or the way to it is cut, and nothing is heard any more. Requests are
// told to try again, readiness goes red and green, and nothing that was acknowledged is lost.
func TestPostgresGoesAway(t *testing.T) {
	t.Parallel()
	for name, outage := range map[string]func(t *testing.T, c *pgtest.Cluster, way *cuttable, during func()){
		"it is restarted": func(t *testing.T, c *pgtest.Cluster, _ *cuttable, during func()) {
			c.Stop(true)
			during()
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
		},
		"the way to it is cut": func(_ *testing.T, _ *pgtest.Cluster, way *cuttable, during func()) {
			way.cut()
			during()
			way.mend()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const pairs = 10
			c := pgtest.Start(t)
			way := cuttableTo(t, c.Address())
			u, err := url.Parse(c.Database(t))
			if err != nil {
				t.Fatal(err)
			}
			servers := replicas(t, 2, "postgres://postgres@"+way.address()+u.Path+"?sslmode=disable")
			ctx := e2e.Context(t)
			talk := e2e.StartConversation(ctx, scattered(e2e.NewPairs(servers[0], pairs), servers))
			e2e.Eventually(t, "all talk", func() bool {
				talk.MustGoOn(t)
				return talk.Least() > 0
			})
			is := func(status int) func() bool {
				return func() bool {
					a, b := servers[0].Get("/readyz"), servers[1].Get("/readyz")
					return a.Status == status && b.Status == status
				}
			}
			outage(t, c, way, func() {
				e2e.Eventually(t, "they are not ready", is(http.StatusServiceUnavailable))
				for _, s := range servers {
					a := e2e.Ask(t, http.MethodPost, s.URL()+"/v1/sessions", nil, `{"protocolVersion":"1","appId":"a","expectedSessionState":{"nextExpectedSeq":0,"nextSentSeq":0}}`)
					if p, err := testclient.ParseProblem(a); err != nil || p.Code != "STORAGE_UNAVAILABLE" || p.Action != "retry" {
						t.Errorf("a handshake: %d %s (%v), want STORAGE_UNAVAILABLE, retry", a.Status, a.Body, err)
					}
					if status := s.Status(); status.Ready || status.Storage != "unavailable" {
						t.Errorf("the status is %+v", status)
					}
				}
			})
			mended := time.Now()
			e2e.Eventually(t, "they are ready again", is(http.StatusOK))
			back := time.Since(mended)
			if err := testclient.Pause(ctx, time.Second); err != nil {
				t.Fatal(err)
			}
			total := talk.End(ctx, t)
			if total.Refused.Load() == total.Gaps.Load() {
				t.Error("no request was told to try again: they did not notice")
			}
			for _, s := range servers {
				if !s.Logged("the storage can be used again; nothing expires for a while") && !s.Logged("the storage failed once and can be used") {
					t.Error("a server does not say that the storage is back")
				}
			}
			t.Logf("ready %v after it was back: %d messages, each delivered once; %d requests told to try again, %d lost",
				back.Round(time.Millisecond), talk.Said(), total.Refused.Load()-total.Gaps.Load(), total.Lost.Load())
		})
	}
}

// cuttable is a way to a server that can be cut as a cable is: what is sent gets
// lost, and neither end is told.
type cuttable struct {
	listener net.Listener
	to       string

	mu    sync.Mutex
	whole *sync.Cond
	isCut bool
	ended bool
	open  []net.Conn
}

func cuttableTo(t *testing.T, to string) *cuttable {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cuttable{listener: l, to: to}
	c.whole = sync.NewCond(&c.mu)
	t.Cleanup(c.end)
	go c.serve()
	return c
}

func (c *cuttable) address() string { return c.listener.Addr().String() }

func (c *cuttable) serve() {
	for {
		from, err := c.listener.Accept()
		if err != nil {
			return
		}
		go func() {
			c.pass()
			to, err := net.Dial("tcp", c.to)
			if err != nil {
				_ = from.Close()
				return
			}
			c.mu.Lock()
			c.open = append(c.open, from, to)
			c.mu.Unlock()
			go c.carry(from, to)
			c.carry(to, from)
		}()
	}
}

// carry takes what one end says to the other one.
func (c *cuttable) carry(from, to net.Conn) {
	defer from.Close()
	defer to.Close()
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			c.pass()
			if _, err := io.Copy(to, strings.NewReader(string(buffer[:n]))); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// pass waits until the way is whole.
func (c *cuttable) pass() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.isCut && !c.ended {
		c.whole.Wait()
	}
}

func (c *cuttable) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.isCut = true
}

// mend lets new connections through; those that were open when it was cut are dead.
func (c *cuttable) mend() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, one := range c.open {
		_ = one.Close()
	}
	c.open, c.isCut = nil, false
	c.whole.Broadcast()
}

func (c *cuttable) end() {
	_ = c.listener.Close()
	c.mu.Lock()
	c.ended = true
	c.mu.Unlock()
	c.mend()
}
