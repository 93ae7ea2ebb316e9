package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"syscall"
	"testing"
	"time"

	"restante/repo/pgtest"
)

// replicas are several servers on one PostgreSQL database.
func replicas(t *testing.T, n int, database string, flags ...string) []*server {
	t.Helper()
	servers := make([]*server, n)
	for i := range servers {
		servers[i] = newServer(t, append([]string{"--drain=0s", "--database-connections=8"}, flags...)...)
		servers[i].database = database
		servers[i].start()
	}
	for _, s := range servers {
		s.ready()
	}
	return servers
}

// scatter is a load balancer without stickiness: each request goes to any of the replicas.
type scatter struct {
	to  []*server
	via *http.Transport
}

// RoundTrip implements http.RoundTripper.
func (s scatter) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.URL.Host = s.to[rand.N(len(s.to))].address
	return s.via.RoundTrip(r)
}

// CloseIdleConnections is what [http.Client.CloseIdleConnections] calls.
func (s scatter) CloseIdleConnections() { s.via.CloseIdleConnections() }

// scattered has every request of some clients go to any of the replicas.
func scattered(couples []pair, to []*server) []pair {
	for _, p := range couples {
		for _, m := range p {
			m.via = &http.Client{Transport: scatter{to, &http.Transport{MaxIdleConnsPerHost: 4}}}
		}
	}
	return couples
}

// TestThreeReplicas has a hundred sessions talk through three replicas, each request to any of
// them, while one is killed and another one is stopped and started again and again.
func TestThreeReplicas(t *testing.T) {
	t.Parallel()
	const pairs, rounds = 50, 5
	servers := replicas(t, 3, pgtest.Database(t))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	talk := begin(ctx, scattered(pairsOf(servers[0], pairs), servers))
	for round := range rounds {
		if err := pause(ctx, 300*time.Millisecond+rand.N(time.Second)); err != nil {
			t.Fatal(err)
		}
		talk.goesOn(t)
		killed, stopped := servers[round%3], servers[(round+1)%3]
		killed.kill()
		killed.start()
		killed.ready()
		stopped.signal(syscall.SIGTERM)
		stopped.wait(20 * time.Second)
		stopped.start()
		stopped.ready()
	}
	total := talk.end(ctx, t)
	if err := all(talk.couples, func(p pair) error { return p.part(ctx) }); err != nil {
		t.Fatal(err)
	}
	if counts := servers[0].status().Counts; counts.Mailboxes != 0 || counts.Nameplates != 0 {
		t.Errorf("%+v are left", counts)
	}
	t.Logf("%d replicas killed, %d stopped: %d messages, each delivered once; %d frames came again, %d sessions resumed, %d requests lost, %d told to try again (%d gaps)",
		rounds, rounds, talk.said(), total.again.Load(), total.resumed.Load(), total.lost.Load(), total.refused.Load(), total.gaps.Load())
}

// TestWakeAcrossReplicas parks a receive on one replica and adds on another.
func TestWakeAcrossReplicas(t *testing.T) {
	t.Parallel()
	for name, x := range map[string]struct {
		flag   string
		rounds int
		most   time.Duration // the median, on a machine that is busy with other tests
	}{
		"by notification":    {"--notify=listen", 50, 100 * time.Millisecond},
		"by change counters": {"--notify=poll", 15, 300 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			servers := replicas(t, 2, pgtest.Database(t), x.flag)
			p := pairsOf(servers[0], 1)[0]
			p[1].base = servers[1].url()
			ctx := t.Context()
			if err := p.meet(ctx); err != nil {
				t.Fatal(err)
			}
			next := func() error { return p[0].listen(ctx, func(frame) (bool, error) { return true, nil }) }
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
				servers[0].parked(1)
				if _, err := p[1].command(ctx, http.MethodPost, "/v1/mailboxes/"+p[1].mailbox+"/messages", p[1].message(k)); err != nil {
					t.Fatal(err)
				}
				added := time.Now()
				took = append(took, max(0, (<-woken).Sub(added)))
			}
			slices.Sort(took)
			if median := took[x.rounds/2]; median > x.most {
				t.Errorf("a receive was answered %v after the add on another replica was, want %v at most", median, x.most)
			}
			t.Logf("the receive was answered %v (median), %v (worst) after the add", took[x.rounds/2], took[x.rounds-1])
		})
	}
}

// TestSupersededAcrossReplicas is a client that begins anew on another replica: its
// receiver of before is told so at once, and does not wait for a heartbeat.
func TestSupersededAcrossReplicas(t *testing.T) {
	t.Parallel()
	const rounds = 9
	servers := replicas(t, 2, pgtest.Database(t))
	c := newClient(servers[0], "side")
	ctx := t.Context()
	if err := c.shake(ctx); err != nil {
		t.Fatal(err)
	}
	var took []time.Duration
	for i := range rounds {
		here, there := servers[i%2], servers[(i+1)%2]
		c.base = here.url()
		told := make(chan answer, 1)
		path := fmt.Sprintf("/v1/session/events?epoch=%d", c.ledger.epoch)
		go func() {
			a, err := c.once(ctx, http.MethodGet, path, nil, nil)
			if err != nil {
				t.Error(err)
			}
			told <- a
		}()
		here.parked(1)
		c.mu.Lock()
		c.base = there.url()
		c.mu.Unlock()
		if err := c.shake(ctx); err != nil {
			t.Fatal(err)
		}
		shaken := time.Now()
		a := <-told
		took = append(took, time.Since(shaken))
		if p, err := problemOf(a); err != nil || p.Code != "SUPERSEDED" || p.Action != "stop" {
			t.Fatalf("%d %s (%v), want SUPERSEDED, stop", a.status, a.body, err)
		}
	}
	slices.Sort(took)
	if median := took[rounds/2]; median > 100*time.Millisecond {
		t.Errorf("told %v after the handshake, want 100ms at most", median)
	}
	t.Logf("told %v (median), %v (worst) after the handshake", took[rounds/2], took[rounds-1])
}
