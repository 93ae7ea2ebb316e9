package rendezvous_test

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"restante/rendezvous"
	"restante/repo"
	"restante/session"
)

// tokenFor returns a token, as the services of these tests take them: for an app and a side (empty: any), for so long from
// now on.
func tokenFor(app rendezvous.AppID, side rendezvous.Side, life time.Duration) json.RawMessage {
	token := string(app) + " " + string(side) + " " + strconv.FormatInt(time.Now().Add(life).UnixMilli(), 10)
	text, err := json.Marshal(map[string]string{"token": token})
	if err != nil {
		panic(err)
	}
	return text
}

// verify takes such tokens.
func verify(token string, now time.Time) (rendezvous.Grant, error) {
	parts := strings.Split(token, " ")
	if len(parts) != 3 {
		return rendezvous.Grant{}, errors.New("the token is forged")
	}
	expires, err := strconv.ParseInt(parts[2], 10, 64)
	if err != nil || !now.Before(time.UnixMilli(expires)) {
		return rendezvous.Grant{}, errors.New("the token has expired")
	}
	return rendezvous.Grant{App: rendezvous.AppID(parts[0]), Side: rendezvous.Side(parts[1]), Expires: time.UnixMilli(expires)}, nil
}

// openWithTokens starts a world that asks for tokens.
func openWithTokens(t *testing.T, path string, bootGrace time.Duration) *world {
	t.Helper()
	return openWithTokensOn(t, path, bootGrace, func(s rendezvous.Store) rendezvous.Store { return s })
}

// openWithTokensOn is openWithTokens, with something between the service and its store.
func openWithTokensOn(t *testing.T, path string, bootGrace time.Duration, wrap func(rendezvous.Store) rendezvous.Store) *world {
	t.Helper()
	store, err := repo.Open(t.Context(), repo.Options{URL: path, Now: time.Now, Log: silent, CompareRemembered: true})
	if err != nil {
		t.Fatal(err)
	}
	s := &rendezvous.Service{Config: rendezvous.DefaultConfig(), Store: wrap(store), Log: silent, VerifyToken: verify}
	s.Config.BootGrace = bootGrace
	return run(t, path, store, s)
}

// withTokens runs a test of such a world on each engine.
func withTokens(t *testing.T, test func(t *testing.T, w *world)) {
	t.Helper()
	onEngines(t, func(t *testing.T, path string) {
		w := openWithTokens(t, path, 0)
		defer func() { w.stop() }()
		test(t, w)
	})
}

// admit begins a session with a token of so long a life.
func (w *world) admit(side rendezvous.Side, life time.Duration) *client {
	w.t.Helper()
	c := &client{w: w, id: session.NewID(), app: app, side: side}
	c.key = c.id.Key()
	c.must(c.shakeWith(tokenFor(app, side, life), 0))
	return c
}

func (c *client) shakeWith(metadata json.RawMessage, expected session.Seq) error {
	reply, err := c.w.Handshake(context.Background(), rendezvous.Handshake{ID: c.id, App: c.app, Side: c.side, NextExpected: expected, Metadata: metadata})
	if err == nil {
		c.epoch, c.wait = reply.Epoch, reply.NextWait
	}
	return err
}

func (c *client) renew(metadata json.RawMessage) error {
	_, err := c.w.UpdateMetadata(context.Background(), rendezvous.Query{Session: c.key}, metadata)
	return err
}

func TestATokenDecidesWhoIsAdmitted(t *testing.T) {
	withTokens(t, func(t *testing.T, w *world) {
		live := w.admit("live", time.Hour)
		for name, metadata := range map[string]json.RawMessage{
			"none":            nil,
			"other metadata":  json.RawMessage(`{"plan": "gold"}`),
			"no string":       json.RawMessage(`{"token": 7}`),
			"null":            json.RawMessage(`{"token": null}`),
			"forged":          json.RawMessage(`{"token": "x"}`),
			"expired":         tokenFor(app, "", -time.Second),
			"for another app": tokenFor("another", "", time.Hour),
			"for a side":      tokenFor(app, "another", time.Hour),
		} {
			c := &client{w: w, id: newID(), app: app, side: "s"}
			expect(t, code(t, c.shakeWith(metadata, 0)), rendezvous.TokenRequired)
			if t.Failed() {
				t.Fatalf("to begin: %s", name)
			}
			expect(t, code(t, live.shakeWith(metadata, 0)), rendezvous.TokenRequired)
			expect(t, code(t, live.renew(metadata)), rendezvous.TokenRequired)
			if t.Failed() {
				t.Fatalf("to resume or to go on: %s", name)
			}
		}
		c := &client{w: w, id: newID(), app: app}
		c.must(c.shakeWith(tokenFor(app, "told", time.Hour), 0))
		reply, err := w.Handshake(context.Background(), rendezvous.Handshake{ID: c.id, App: app, Metadata: tokenFor(app, "told", time.Hour)})
		c.must(err)
		expect(t, reply.Side, "told")
		expect(t, code(t, c.shakeWith(tokenFor(app, "live", time.Hour), 0)), rendezvous.SessionIdentityMismatch)
	})
}

func TestAClientIsAskedForANewerToken(t *testing.T) {
	t.Parallel()
	withTokens(t, func(t *testing.T, w *world) {
		began := time.Now()
		c := w.admit("s", 20*time.Minute)
		got := c.receive(0)
		if len(got) != 1 || got[0].Type != "rehandshake" || got[0].Seq != 0 {
			t.Fatalf("%+v", got)
		}
		if early := 20*time.Minute - time.Since(began); early < time.Minute || early > 2*time.Minute {
			t.Errorf("it is asked %v before its token expires", early)
		}
		c.must(c.renew(tokenFor(app, "s", 30*time.Minute)))
		c.must(c.renew(tokenFor(app, "s", 10*time.Minute))) // a late copy takes nothing away
		c.receive(1)
		if after := time.Since(began); after < 40*time.Minute {
			t.Errorf("it is asked again after %v", after)
		}
		expect(t, w.state(c.key), "attached")
	})
}

func TestASessionEndsWithItsToken(t *testing.T) {
	t.Parallel()
	withTokens(t, func(t *testing.T, w *world) {
		began := time.Now()
		c := w.admit("s", 40*time.Second)
		ack := session.Seq(0)
		var err error
		for err == nil { // it is there all the time, and does not answer
			var got rendezvous.Delivery
			got, err = c.poll(context.Background(), ack)
			ack += session.Seq(len(got.Frames))
		}
		expect(t, code(t, err), rendezvous.SessionEnded)
		expect(t, time.Since(began), 40*time.Second)
		expect(t, ack, 1)
		for _, when := range []string{"computed", "written", "after a restart"} {
			_, err := c.poll(context.Background(), ack)
			failure, ok := errors.AsType[*rendezvous.Failure](err)
			if !ok || failure.Code != rendezvous.SessionEnded || failure.Ended.Reason != session.TokenExpired {
				t.Errorf("%s: %v", when, err)
			}
			expect(t, code(t, c.shakeWith(tokenFor(app, "s", time.Hour), 1)), rendezvous.SessionStateMismatch)
			switch when {
			case "computed":
				time.Sleep(20 * time.Minute)
				w.Prune(context.Background())
			case "written":
				w.stop()
				*w = *openWithTokens(t, w.path, 0)
			}
		}
	})
}

func TestAStreamEndsWithItsToken(t *testing.T) {
	withTokens(t, func(t *testing.T, w *world) {
		began := time.Now()
		c := w.admit("s", 40*time.Second)
		stream, _, err := w.Stream(context.Background(), rendezvous.ReceiveRequest{Session: c.key})
		c.must(err)
		defer stream.Close()
		for err == nil {
			_, _, err = stream.Next(t.Context())
			stream.Alive()
		}
		expect(t, code(t, err), rendezvous.SessionEnded)
		expect(t, time.Since(began), 40*time.Second)
	})
}

// A client that sleeps cannot answer. Its session waits for it as it does without tokens, and gives it nothing.
func TestATokenExpiresWhileTheClientIsAway(t *testing.T) {
	withTokens(t, func(t *testing.T, w *world) {
		for name, comeBack := range map[string]func(*client) error{
			"resumed": func(c *client) error { return c.shakeWith(tokenFor(app, c.side, time.Hour), 0) },
			"renewed": func(c *client) error { return c.renew(tokenFor(app, c.side, time.Hour)) },
		} {
			c := w.admit(rendezvous.Side(name), 3*time.Minute)
			mailbox := rendezvous.MailboxID(name)
			c.open(mailbox)
			time.Sleep(5 * time.Minute)
			_, err := c.poll(context.Background(), 0)
			expect(t, code(t, err), rendezvous.TokenRequired)
			_, err = w.Add(context.Background(), c.command(), mailbox, rendezvous.Draft{Phase: "p"})
			expect(t, code(t, err), rendezvous.TokenRequired)
			expect(t, w.state(c.key), "detached")
			c.must(comeBack(c))
			expect(t, w.state(c.key), "attached")
			expect(t, c.receive(0)[0].Type, "rehandshake")
			c.add(mailbox, name)
		}
	})
}

// A client that wakes with a token that has expired, and then gets a good one.
func TestATokenThatIsRefusedIsNoSignOfLife(t *testing.T) {
	withTokens(t, func(t *testing.T, w *world) {
		c := w.admit("s", 3*time.Minute)
		old := tokenFor(app, "s", 3*time.Minute)
		time.Sleep(5 * time.Minute)
		for _, refused := range []json.RawMessage{nil, old, tokenFor("another", "s", time.Hour), tokenFor(app, "another", time.Hour)} {
			expect(t, code(t, c.renew(refused)), rendezvous.TokenRequired)
			expect(t, w.state(c.key), "detached")
		}
		c.must(c.renew(tokenFor(app, "s", time.Hour)))
		expect(t, w.state(c.key), "attached")
	})
}

// uncommitted is a store that takes back the transactions of the test while it is on.
type uncommitted struct {
	rendezvous.Store
	on *atomic.Bool
}

func (s uncommitted) Update(ctx context.Context, f func(rendezvous.Tx) error) error {
	return s.Store.Update(ctx, func(tx rendezvous.Tx) error {
		err := f(tx)
		if err == nil && !ofLoop(ctx) && s.on.Load() {
			return rendezvous.ErrUnavailable
		}
		return err
	})
}

// A good token that cannot be stored at once is stored when its client sends it again.
func TestATokenThatCouldNotBeStoredIsNoSignOfLife(t *testing.T) {
	onEngines(t, func(t *testing.T, path string) {
		var on atomic.Bool
		w := openWithTokensOn(t, path, 0, func(s rendezvous.Store) rendezvous.Store { return uncommitted{s, &on} })
		defer func() { w.stop() }()
		c := w.admit("s", 3*time.Minute)
		time.Sleep(5 * time.Minute)
		on.Store(true)
		expect(t, code(t, c.renew(tokenFor(app, "s", time.Hour))), rendezvous.StorageUnavailable)
		on.Store(false)
		c.must(c.renew(tokenFor(app, "s", time.Hour)))
		expect(t, w.state(c.key), "attached")
	})
}

// A replica that does not know when another one saw the client last does not take it for present.
func TestATokenExpiresWhileTheClientIsAwayFromAllReplicas(t *testing.T) {
	replicatedAs(t, func(s *rendezvous.Service) { s.VerifyToken = verify }, func(t *testing.T, r *replicas) {
		c := r.a.admit("s", 100*time.Second)
		time.Sleep(105 * time.Second)
		for _, w := range []*world{r.a, r.b} {
			_, err := w.Session(t.Context(), rendezvous.Query{Session: c.key})
			expect(t, code(t, err), rendezvous.TokenRequired)
		}
		_, err := r.b.UpdateMetadata(t.Context(), rendezvous.Query{Session: c.key}, tokenFor(app, "s", time.Hour))
		c.must(err)
		expect(t, r.a.state(c.key), "attached")
		expect(t, r.b.state(c.key), "attached")
	})
}

// While the server was away, the client could not send a newer token.
func TestATokenExpiresWhileTheServerIsAway(t *testing.T) {
	onEngines(t, func(t *testing.T, path string) {
		w := openWithTokens(t, path, 0)
		defer func() { w.stop() }()
		good, silentOne := w.admit("good", time.Minute), w.admit("silent", time.Minute)
		time.Sleep(30 * time.Second)
		good.open("m")
		silentOne.open("m")
		time.Sleep(20 * time.Second)
		w.stop()
		time.Sleep(time.Minute)
		*w = *openWithTokens(t, path, 5*time.Minute)
		for _, c := range []*client{good, silentOne} {
			_, err := c.poll(context.Background(), 0)
			expect(t, code(t, err), rendezvous.TokenRequired)
		}
		good.must(good.renew(tokenFor(app, "good", time.Hour)))
		good.add("m", "still here")
		time.Sleep(5 * time.Minute)
		expect(t, w.state(silentOne.key), "closed: unauthorized")
		expect(t, w.state(good.key), "detached")
	})
}

func TestTokensThatAreAskedForLater(t *testing.T) {
	onEngines(t, func(t *testing.T, path string) {
		w := open(t, path, nil, nil)
		defer func() { w.stop() }()
		c := w.begin("s")
		w.stop()
		*w = *openWithTokens(t, path, time.Minute)
		_, err := c.poll(context.Background(), 0)
		expect(t, code(t, err), rendezvous.TokenRequired)
		c.must(c.renew(tokenFor(app, "s", time.Minute)))
		c.open("m")
		w.stop()
		*w = *open(t, path, nil, nil) // they are no longer asked for
		time.Sleep(2 * time.Minute)
		c.add("m", "no token counts")
	})
}

// Either replica may ask for a token, and take one: in all, each is asked for once.
func TestATokenIsRenewedOnAnotherReplica(t *testing.T) {
	t.Parallel()
	replicatedAs(t, func(s *rendezvous.Service) { s.VerifyToken = verify }, func(t *testing.T, r *replicas) {
		for name, lossy := range map[string]bool{"told": false, "not told": true} {
			r.lossy.Store(lossy)
			c := r.a.admit(rendezvous.Side("s"+strings.Fields(name)[0]), 2*time.Minute)
			began, renewed := time.Now(), 0
			for ack := session.Seq(0); time.Since(began) < 8*time.Minute; {
				got, err := c.poll(context.Background(), ack)
				if err != nil {
					t.Fatalf("%s: after %v and %d tokens: %v", name, time.Since(began), renewed, err)
				}
				for range got.Frames {
					ack++
					renewed++
					_, err := r.b.UpdateMetadata(context.Background(), rendezvous.Query{Session: c.key}, tokenFor(app, c.side, 2*time.Minute))
					c.must(err)
				}
			}
			if renewed < 4 || renewed > 8 { // one a minute; a wake that is lost delays one
				t.Errorf("%s: it was asked %d times in 8 minutes", name, renewed)
			}
			expect(t, r.b.state(c.key), "attached")
		}
	})
}
