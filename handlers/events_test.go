package handlers_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"restante/rendezvous"
)

// frames are the bytes of an answer's frames.
func frames(a *answer) []byte {
	a.Helper()
	var got struct{ Frames json.RawMessage }
	if err := json.Unmarshal(a.body, &got); err != nil {
		a.Fatal(err)
	}
	return got.Frames
}

// twoSides has two sides in one mailbox; a has not received anything yet.
func twoSides(t testing.TB, w *testServer) (a, b *client) {
	t.Helper()
	a, b = w.begin(t, "app", "a"), w.begin(t, "app", "b")
	a.open("m").want(http.StatusOK)
	b.open("m").want(http.StatusOK) // frame 0 of a
	return a, b
}

func TestReceiveAndAcknowledge(t *testing.T) {
	w := start(t, options{})
	a, b := twoSides(t, w)
	for i := range 4 {
		b.add("m", "p", fmt.Sprint("<", i, "> &")).want(http.StatusCreated) // frames 1 to 4
	}
	b.delete("/v1/mailboxes/m?mood=lonely").want(http.StatusNoContent) // frame 5
	all := a.poll(0).want(http.StatusOK)
	if all.count("frames") != 6 || all.number("frames/5/seq") != 5 {
		t.Fatalf("a receives %s", all.body)
	}
	same := func(r *request, from int) {
		t.Helper()
		got := r.want(http.StatusOK)
		if want := all.at("frames").([]any)[from:]; len(want) != got.count("frames") || !bytes.HasSuffix(frames(all), frames(got)[1:]) {
			t.Errorf("from %d on, a receives %s", from, frames(got))
		}
	}
	same(a.poll(0), 0) // the answer was lost
	same(a.get("/v1/session/events?wait=0"), 0)
	a.delete("/v1/mailboxes/m").want(http.StatusNoContent) // it is retired
	a.get("/v1/mailboxes/m").refused(http.StatusNotFound, "NOT_FOUND")
	same(a.poll(0), 0)
	same(a.poll(2), 2)
	same(a.poll(2), 2)
	same(a.get("/v1/session/events?wait=0"), 2) // without ack: as before
	a.poll(1).refused(http.StatusConflict, "SUPERSEDED")
	same(a.get("/v1/session/events?wait=0").with("Ack: 3"), 3)
	same(a.poll(3).with("Ack: 4"), 4)
	same(a.poll(5).with("Ack: 4"), 5)
	a.get("/v1/nameplates").with("Ack: 6").want(http.StatusOK) // any request may say it
	if got := a.get("/v1/session/events?wait=0").want(http.StatusOK); got.at("heartbeat") != true || got.count("frames") != 0 {
		t.Errorf("a receives %s", got.body)
	}
	a.poll(7).refused(http.StatusConflict, "SESSION_STATE_MISMATCH")
}

func TestOnlyAcknowledge(t *testing.T) {
	w := start(t, options{})
	a, b := twoSides(t, w)
	b.add("m", "p", "b").want(http.StatusCreated)
	acknowledge := func(ack, kept int) {
		t.Helper()
		got := a.post("/v1/session/ack", fmt.Sprintf(`{"ack": %d}`, ack)).want(http.StatusOK)
		if got.number("nextSentSeq") != int64(kept) || got.number("ack") != 0 {
			t.Errorf("ack %d: %s", ack, got.body)
		}
	}
	acknowledge(0, 0)
	acknowledge(1, 1)
	acknowledge(1, 1)
	acknowledge(0, 1)
	if got := a.post("/v1/session/ack", `{"ack": 0}`).with("Ack: 2").want(http.StatusOK); got.number("nextSentSeq") != 2 {
		t.Errorf("the higher counts: %s", got.body)
	}
	b.add("m", "p", "c").want(http.StatusCreated)
	a.handshake(2, 0).want(http.StatusOK)
	if got := a.post("/v1/session/ack", `{"ack": 3, "epoch": 1}`).want(http.StatusOK); got.number("nextSentSeq") != 2 {
		t.Errorf("an older epoch counts: %s", got.body)
	}
	if got := a.post("/v1/session/ack", `{"ack": 3, "epoch": 2}`).want(http.StatusOK); got.number("nextSentSeq") != 3 {
		t.Errorf("the current epoch does not count: %s", got.body)
	}
	a.post("/v1/session/ack", `{"ack": 4}`).refused(http.StatusConflict, "SESSION_STATE_MISMATCH")
	a.post("/v1/session/ack", `{"ack": 3, "epoch": 3}`).refused(http.StatusConflict, "SESSION_STATE_MISMATCH")
	b.add("m", "p", "d").want(http.StatusCreated)
	if got := a.post("/v1/session/ack", `{"ack": 3, "epoch": 2}`).with("Ack: 4", "Epoch: 1").want(http.StatusOK); got.number("nextSentSeq") != 3 {
		t.Errorf("of two epochs, the older does not count: %s", got.body)
	}
}

// An acknowledgement that any request brings may come late, from a page that has gone.
func TestAnAcknowledgementInAHeaderNamesItsEpoch(t *testing.T) {
	for _, by := range []string{
		"GET /v1/session", "PUT /v1/mailboxes/m", "GET /v1/mailboxes/m", "GET /v1/mailboxes/m/messages",
		"GET /v1/mailboxes/m/messages?own=true", "GET /v1/nameplates", "DELETE /v1/nameplates/1", "POST /v1/nameplates",
		"POST /v1/mailboxes/m/messages", "PUT /v1/session/metadata", "POST /v1/session/ack", "GET /v1/session/events?wait=0",
	} {
		t.Run(by, func(t *testing.T) {
			w := start(t, options{})
			a, b := twoSides(t, w)
			b.add("m", "p", "b").want(http.StatusCreated)
			a.handshake(0, 0).want(http.StatusOK)
			method, target, _ := strings.Cut(by, " ")
			body := map[string]string{"POST /v1/mailboxes/m/messages": `{"phase": "p", "body": "b"}`, "PUT /v1/session/metadata": `{}`, "POST /v1/session/ack": `{"ack": 0}`}[by]
			for kept, epoch := range []string{"1", "2"} { // of the older one, frame 0 is kept; of the current one, frame 1
				a.ask(method, target, body).with("Ack: 1", "Epoch: "+epoch).send()
				if got := a.get("/v1/session").want(http.StatusOK).number("nextSentSeq"); got != int64(kept) {
					t.Errorf("with epoch %s, frames from %d on are kept, want %d", epoch, got, kept)
				}
			}
			a.ask(method, target, body).with("Ack: 1", "Epoch: 3").refused(http.StatusConflict, "SESSION_STATE_MISMATCH")
			for _, bad := range []string{"x", "-1", "0", "9007199254740992"} {
				a.ask(method, target, body).with("Epoch: "+bad).refused(http.StatusBadRequest, "INVALID_REQUEST")
			}
		})
	}
}

// A page that has gone neither takes the place of the one that receives nor acknowledges for it, wherever it names its
// epoch.
func TestReceiveNamesItsEpochInAHeader(t *testing.T) {
	bubble(t, options{}, func(t *testing.T, w *testServer) {
		a, b := twoSides(t, w)
		b.add("m", "p", "b").want(http.StatusCreated)
		a.handshake(0, 0).want(http.StatusOK)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // of a stream that goes on
		defer cancel()
		for _, accept := range []string{"application/json", "text/event-stream"} {
			for _, query := range []string{"", "?epoch=2", "?ack=2&epoch=2"} {
				old, err := a.get("/v1/session/events"+query).with("Accept: "+accept, "Ack: 2", "Epoch: 1").exchange(ctx)
				if err != nil || old.status != http.StatusConflict || !strings.Contains(string(old.body), `"stop"`) {
					t.Errorf("%s%s: %v, %v", accept, query, old, err)
				}
			}
		}
		if got := a.poll(0).want(http.StatusOK); got.count("frames") != 2 {
			t.Errorf("the frames are gone: %s", got.body)
		}
		if got := a.get("/v1/session/events?wait=0").with("Ack: 1", "Epoch: 2").want(http.StatusOK); got.count("frames") != 1 {
			t.Errorf("the current epoch does not count: %s", got.body)
		}
	})
}

// A client that has seen more than it has processed asks for what it has not seen.
func TestPollAfterTheLastFrameSeen(t *testing.T) {
	w := start(t, options{})
	a, b := twoSides(t, w) // frame 0
	b.add("m", "p", "1").want(http.StatusCreated)
	b.add("m", "p", "2").want(http.StatusCreated)
	for _, tt := range []struct {
		ack     int
		headers []string
		first   int64 // of the frames that come; 3: none
	}{
		{0, nil, 0},
		{0, []string{"Last-Event-ID: 0"}, 1},
		{0, []string{"Last-Event-ID: 2"}, 3},
		{0, []string{"Last-Event-ID: "}, 0},
		{1, []string{"Last-Event-ID: 1"}, 2},
		{1, nil, 1},
		{2, []string{"Last-Event-ID: 0"}, 2},
	} {
		got := a.get(fmt.Sprintf("/v1/session/events?wait=0&ack=%d", tt.ack)).with(tt.headers...).want(http.StatusOK)
		if n := got.count("frames"); int64(n) != 3-tt.first || n > 0 && got.number("frames/0/seq") != tt.first {
			t.Errorf("ack %d, %v: %s", tt.ack, tt.headers, got.body)
		}
	}
}

// What a client processes while its poll is held it acknowledges meanwhile, and the poll goes on.
func TestPollGoesOnWhileWhatWasSeenIsAcknowledged(t *testing.T) {
	w := start(t, options{})
	a, b := twoSides(t, w) // frame 0
	b.add("m", "p", "1").want(http.StatusCreated)
	held := a.get("/v1/session/events?ack=0&epoch=1").with("Last-Event-ID: 1").later()
	w.parked(t, 1)
	a.post("/v1/session/ack", `{"ack": 1, "epoch": 1}`).want(http.StatusOK)
	a.post("/v1/session/ack", `{"ack": 2, "epoch": 1}`).want(http.StatusOK)
	b.add("m", "p", "2").want(http.StatusCreated)
	if got := <-held; got.status != http.StatusOK || got.count("frames") != 1 || got.number("frames/0/seq") != 2 {
		t.Errorf("%d %s", got.status, got.body)
	}
	a.get("/v1/session/events?ack=1&epoch=1&wait=0").refused(http.StatusConflict, "SUPERSEDED")
}

func TestAnswersAreBounded(t *testing.T) {
	w := start(t, options{})
	a, b := twoSides(t, w)
	for range 5 {
		b.add("m", "p", strings.Repeat("b", 60_000)).want(http.StatusCreated)
	}
	for i := range 130 {
		b.add("m", "p", fmt.Sprint(i)).want(http.StatusCreated)
	}
	var seen int
	for seen < 136 {
		got := a.poll(seen).want(http.StatusOK)
		n := got.count("frames")
		if n < 1 || n > 100 || len(frames(got)) > 256<<10 || got.number("frames/0/seq") != int64(seen) {
			t.Fatalf("%d frames of %d bytes from %d", n, len(frames(got)), got.number("frames/0/seq"))
		}
		seen += n
	}
}

// A receive with nothing to say is held for exactly as long as was announced.
func TestHeartbeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, options{Piped: true})
		a, b := twoSides(t, w)
		resumed := a.handshake(1, 0).want(http.StatusOK)
		hold := time.Duration(resumed.number("nextWaitMs")) * time.Millisecond
		if hold < 22*time.Second || hold > 25*time.Second {
			t.Fatalf("the hold is %v", hold)
		}
		for _, tt := range []struct {
			query, prefer string
			want          time.Duration
		}{
			{"", "", hold},
			{"", "", hold}, // and again, however long the connection is open
			{"?wait=3600", "", hold},
			{"?wait=3", "", 3 * time.Second},
			{"?wait=0", "", 0},
			{"", "wait=4", 4 * time.Second},
			{"", "respond-async, Wait = 5; x=y, wait=6", 5 * time.Second},
			{"?wait=2", "wait=7", 2 * time.Second},
			{"", "wait=-1", hold},
			{"", "wait=99999999999999999999", hold},
			{"", "wait", hold},
			{"", `=;,"wait=3`, hold},
			{"", `wait="4"`, 4 * time.Second},
			{"", `x="a, wait=3"; y=", wait=3; \", wait=3", Wait = "\5" ;z=";", wait=6`, 5 * time.Second},
			{"", "handling=lenient\nPrefer: wait=8", 8 * time.Second}, // a list in two lines
		} {
			r := a.get("/v1/session/events" + tt.query)
			for line := range strings.SplitSeq(tt.prefer, "\nPrefer: ") {
				if line != "" {
					r.with("Prefer: " + line)
				}
			}
			began := time.Now()
			got := r.want(http.StatusOK)
			if took := time.Since(began); took != tt.want {
				t.Errorf("%q, Prefer %q: held for %v, want %v", tt.query, tt.prefer, took, tt.want)
			}
			if got.at("heartbeat") != true || got.count("frames") != 0 || got.number("nextWaitMs") != hold.Milliseconds() {
				t.Errorf("%q: %s", tt.query, got.body)
			}
		}
		// Something to say ends the hold at once.
		began, parked := time.Now(), a.get("/v1/session/events").later()
		synctest.Wait()
		pass(7 * time.Second)
		b.add("m", "p", "b").want(http.StatusCreated)
		if got := <-parked; got.count("frames") != 1 || time.Since(began) != 7*time.Second {
			t.Errorf("after %v: %s", time.Since(began), got.body)
		}
	})
}

func TestSuperseded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, options{Piped: true})
		a, b := twoSides(t, w)
		receive := func(query string) <-chan *answer {
			answered := a.get("/v1/session/events" + query).later()
			synctest.Wait()
			return answered
		}
		superseded := func(got *answer, action string) {
			t.Helper()
			if got.status != http.StatusConflict || got.text("code") != "SUPERSEDED" || got.text("action") != action {
				t.Errorf("it is answered %d %s, want %s", got.status, got.body, action)
			}
			if (got.header.Get("Retry-After") == "1") != (action == "slow_down") {
				t.Errorf("Retry-After is %q", got.header.Values("Retry-After"))
			}
		}
		began := time.Now()

		// Within an epoch the later one wins.
		first := receive("?ack=1&epoch=1")
		second := receive("?ack=1")
		superseded(<-first, "slow_down")
		// But not if it knows less.
		superseded(<-receive("?ack=0"), "slow_down")
		b.add("m", "p", "b").want(http.StatusCreated)
		if got := <-second; got.count("frames") != 1 {
			t.Errorf("the second receives %s", got.body)
		}

		// A handshake ends whatever is of an older epoch, and for good.
		third := receive("?ack=2&epoch=1")
		a.handshake(2, 0).want(http.StatusOK)
		superseded(<-third, "stop")
		superseded(<-receive("?ack=2&epoch=1"), "stop")
		fourth := receive("?ack=2&epoch=2")
		superseded(<-receive("?ack=2&epoch=1"), "stop") // and does not get in the way
		b.add("m", "p", "b").want(http.StatusCreated)
		if got := <-fourth; got.count("frames") != 1 {
			t.Errorf("the fourth receives %s", got.body)
		}
		// Also a receive that named no epoch: it is of the one in which it began.
		unnamed := receive("?ack=3")
		a.handshake(3, 0).want(http.StatusOK)
		superseded(<-unnamed, "stop")
		if !time.Now().Equal(began) {
			t.Errorf("it took %v", time.Since(began))
		}

		// The end of the session ends it, too.
		fifth := receive("?ack=3")
		a.delete("/v1/session").want(http.StatusNoContent)
		if got := <-fifth; got.status != http.StatusGone || got.text("reason") != "deleted" {
			t.Errorf("the fifth is answered %d %s", got.status, got.body)
		}
	})
}

// A client that leaves causes no failure.
func TestReceiverLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, options{Piped: true})
		a, _ := twoSides(t, w)
		ctx, leave := context.WithCancel(t.Context())
		left := make(chan error)
		go func() {
			_, err := a.get("/v1/session/events?ack=1").exchange(ctx)
			left <- err
		}()
		synctest.Wait()
		if parked := w.Service.Stats().Parked.Load(); parked != 1 {
			t.Errorf("%d are parked", parked)
		}
		leave()
		if err := <-left; err == nil {
			t.Error("it was answered")
		}
		synctest.Wait()
		if parked := w.Service.Stats().Parked.Load(); parked != 0 {
			t.Errorf("%d are still parked", parked)
		}
		if logged := w.Logs.String(); strings.Contains(logged, `"level":"ERROR"`) || strings.Contains(logged, `"status":500`) {
			t.Errorf("it is logged as a failure:\n%s", logged)
		}
		a.get("/v1/session").want(http.StatusOK)
	})
}

func TestWindowFull(t *testing.T) {
	w := start(t, options{Config: func(c *rendezvous.Config) { c.Limits.WindowFrames = 10 }})
	a, b := twoSides(t, w) // which is a frame, too
	comeAndGo := func(times int) {
		t.Helper()
		for range times {
			b.delete("/v1/mailboxes/m").want(http.StatusNoContent)
			b.open("m").want(http.StatusOK)
		}
	}
	comeAndGo(5)
	a.poll(0).refused(http.StatusTooManyRequests, "WINDOW_FULL").says("Retry-After", "1")
	for range 2 { // told once; then it can catch up
		if got := a.poll(0).want(http.StatusOK); got.count("frames") != 11 {
			t.Errorf("a receives %s", got.body)
		}
	}
	a.poll(9).want(http.StatusOK)
	comeAndGo(15)
	if got := a.poll(9).refused(http.StatusGone, "SESSION_ENDED"); got.text("reason") != "overflow" {
		t.Errorf("a is told %s", got.body)
	}
}

func TestReceiveAccepts(t *testing.T) {
	w := start(t, options{})
	a := w.begin(t, "app", "a")
	for _, accept := range []string{"application/json", "*/*", "application/*;q=0.1", "text/html, */*;q=0.8", "text/event-stream, application/json"} {
		a.poll(0).with("Accept: " + accept).want(http.StatusOK)
	}
	for _, accept := range []string{"text/event-stream;q=0", "text/*", "application/json;q=0", "application/problem+json", "nonsense", `text/html;x=", application/json, "`} {
		a.poll(0).with("Accept: "+accept).refused(http.StatusNotAcceptable, "NOT_ACCEPTABLE").says("Ack", "0")
	}
}
