package e2e_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"restante/internal/e2e"
	"restante/internal/testclient"
	"restante/repo/pgtest"
)

// replicas are several servers on one PostgreSQL database.
func replicas(t *testing.T, n int, database string, flags ...string) []*e2e.Server {
	t.Helper()
	servers := make([]*e2e.Server, n)
	for i := range servers {
		servers[i] = e2e.NewServer(t, append([]string{"--drain=0s", "--database-connections=8"}, flags...)...)
		servers[i].Database = database
		servers[i].Start()
	}
	for _, s := range servers {
		s.WaitReady()
	}
	return servers
}

// scatter is a load balancer without stickiness: each request goes to any of the replicas.
type scatter struct {
	to  []*e2e.Server
	via *http.Transport
}

// RoundTrip implements http.RoundTripper.
func (s scatter) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.URL.Host = s.to[rand.N(len(s.to))].Address
	return s.via.RoundTrip(r)
}

// CloseIdleConnections is what [http.Client.CloseIdleConnections] calls.
func (s scatter) CloseIdleConnections() { s.via.CloseIdleConnections() }

// scattered has every request of some clients go to any of the replicas.
func scattered(couples []e2e.Pair, to []*e2e.Server) []e2e.Pair {
	for _, p := range couples {
		for _, m := range p {
			m.HTTP = &http.Client{Transport: scatter{to, &http.Transport{MaxIdleConnsPerHost: 4}}}
		}
	}
	return couples
}

// TestThreeReplicas has many sessions talk through three replicas, each request to any of
// them, while one is killed and another one is stopped and started again and again.
func TestThreeReplicas(t *testing.T) {
	t.Parallel()
	pairs, rounds := e2e.Nightly(50, 12), e2e.Nightly(10, 3)
	servers := replicas(t, 3, pgtest.Database(t))
	ctx := e2e.Context(t)
	talk := e2e.StartConversation(ctx, scattered(e2e.NewPairs(servers[0], pairs), servers))
	for round := range rounds {
		if err := testclient.Pause(ctx, 300*time.Millisecond+rand.N(time.Second)); err != nil {
			t.Fatal(err)
		}
		talk.MustGoOn(t)
		killed, stopped := servers[round%3], servers[(round+1)%3]
		killed.Kill()
		killed.Start()
		killed.WaitReady()
		stopped.Signal(syscall.SIGTERM)
		stopped.Wait()
		stopped.Start()
		stopped.WaitReady()
	}
	total := talk.End(ctx, t)
	if err := e2e.AtOnce(talk.Pairs, func(p e2e.Pair) error { return p.Part(ctx) }); err != nil {
		t.Fatal(err)
	}
	e2e.Eventually(t, "nothing is left, when it is counted again", func() bool {
		counts := servers[0].Status().Counts
		return counts.Mailboxes == 0 && counts.Nameplates == 0
	})
	t.Logf("%d replicas killed, %d stopped: %d messages, each delivered once; %d frames came again, %d sessions resumed, %d requests lost, %d told to try again (%d gaps)",
		rounds, rounds, talk.Said(), total.Again.Load(), total.Resumed.Load(), total.Lost.Load(), total.Refused.Load(), total.Gaps.Load())
}

// TestWakeAcrossReplicas has a receive wait on one replica and adds on another. By itself,
// the receive would be answered after an hour, which is longer than the test may take.
func TestWakeAcrossReplicas(t *testing.T) {
	t.Parallel()
	for name, x := range map[string]struct {
		flag   string
		rounds int
	}{
		"by notification":    {"--notify=listen", 10},
		"by change counters": {"--notify=poll", 5},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			servers := replicas(t, 2, pgtest.Database(t), x.flag, "--heartbeat-interval=1h")
			p := e2e.NewPairs(servers[0], 1)[0]
			p[1].MoveTo(servers[1].URL())
			ctx := t.Context()
			if err := p.Meet(ctx); err != nil {
				t.Fatal(err)
			}
			next := func() error { return p[0].Listen(ctx, func(testclient.Frame) (bool, error) { return true, nil }) }
			if err := next(); err != nil { // the other one has opened the mailbox
				t.Fatal(err)
			}
			var took []time.Duration
			for k := range x.rounds {
				woken := make(chan time.Time, 1)
				go func() {
					defer close(woken)
					if err := next(); err != nil {
						t.Error(err)
					}
					woken <- time.Now()
				}()
				servers[0].WaitPolls(1)
				if _, err := p[1].Command(ctx, http.MethodPost, "/v1/mailboxes/"+p[1].Mailbox+"/messages", p[1].Message(k)); err != nil {
					t.Fatal(err)
				}
				added := time.Now()
				took = append(took, max(0, (<-woken).Sub(added)))
			}
			for k := range 2 { // a side without a session reads the log on one replica, and another adds on the other
				read := make(chan testclient.Answer, 1)
				go func() {
					log := fmt.Sprintf("%s/v1/mailboxes/tea/messages?open=true&wait=3600&after=%d", servers[0].URL(), k)
					a, err := keyed(ctx, http.MethodGet, log, "the-secret-of-the-reader", "")
					if err != nil {
						t.Error(err)
					}
					read <- a
				}()
				servers[0].WaitPolls(1)
				a, err := keyed(ctx, http.MethodPost, servers[1].URL()+"/v1/mailboxes/tea/messages?open=true", "the-secret-of-the-sender", `{"phase":"p","body":"at last"}`)
				if err != nil || a.Status != http.StatusCreated {
					t.Fatalf("%d %s (%v)", a.Status, a.Body, err)
				}
				if a := <-read; a.Status != http.StatusOK || !strings.Contains(string(a.Body), `"at last"`) || a.Header.Get("After") != fmt.Sprint(k+1) {
					t.Fatalf("the read is answered %d %s", a.Status, a.Body)
				}
			}
			slices.Sort(took)
			t.Logf("the receive was answered %v (median), %v (worst) after the add", took[x.rounds/2], took[x.rounds-1])
		})
	}
}

// keyed asks a server once, without a session.
func keyed(ctx context.Context, method, url, secret, body string) (testclient.Answer, error) {
	credentials := "Basic " + base64.StdEncoding.EncodeToString([]byte("example.org/e2e:"+secret))
	return testclient.Exchange(ctx, testclient.OneShot, method, url, http.Header{"Authorization": {credentials}}, body)
}

// TestSupersededAcrossReplicas is a client that begins anew on another replica: its
// receiver of before is told so, and does not wait for a heartbeat, which would come after an hour.
func TestSupersededAcrossReplicas(t *testing.T) {
	t.Parallel()
	const rounds = 4
	servers := replicas(t, 2, pgtest.Database(t), "--heartbeat-interval=1h")
	c := e2e.NewClient(servers[0], "side")
	ctx := t.Context()
	if err := c.Handshake(ctx); err != nil {
		t.Fatal(err)
	}
	var took []time.Duration
	for i := range rounds {
		here, there := servers[i%2], servers[(i+1)%2]
		c.MoveTo(here.URL())
		told := make(chan testclient.Answer, 1)
		path := fmt.Sprintf("/v1/session/events?epoch=%d", c.Epoch())
		go func() {
			a, err := c.Once(ctx, http.MethodGet, path, nil, nil)
			if err != nil {
				t.Error(err)
			}
			told <- a
		}()
		here.WaitPolls(1)
		c.MoveTo(there.URL())
		if err := c.Handshake(ctx); err != nil {
			t.Fatal(err)
		}
		shaken := time.Now()
		a := <-told
		took = append(took, time.Since(shaken))
		if p, err := testclient.ParseProblem(a); err != nil || p.Code != "SUPERSEDED" || p.Action != "stop" {
			t.Fatalf("%d %s (%v), want SUPERSEDED, stop", a.Status, a.Body, err)
		}
	}
	slices.Sort(took)
	t.Logf("told %v (median), %v (worst) after the handshake", took[rounds/2], took[rounds-1])
}
