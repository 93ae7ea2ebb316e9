package handlers_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"restante/handlers"
	"restante/handlers/handlerstest"
	"restante/rendezvous"
)

// stream is an event stream under test.
type stream struct {
	testing.TB
	got    *http.Response
	lines  *bufio.Reader
	cancel context.CancelFunc
	took   bytes.Buffer // all of it
	r      *request
}

// sse is one event.
type sse struct{ name, id, retry, data string }

// streams begins an event stream.
func (r *request) streams() *stream {
	r.c.Helper()
	s, refused := r.tryStream()
	if refused != nil {
		r.c.Fatalf("%s is answered %d %s", r.target, refused.status, refused.body)
	}
	return s
}

// tryStream is for one that may be refused.
func (r *request) tryStream() (*stream, *answer) {
	r.c.Helper()
	r.with("Accept: text/event-stream")
	ctx, cancel := context.WithCancel(r.c.Context())
	asked, err := http.NewRequestWithContext(ctx, r.method, "http://restante.test"+r.target, http.NoBody)
	if err != nil {
		r.c.Fatal(err)
	}
	asked.Header = r.header
	got, err := r.c.w.HTTP.Do(asked)
	if err != nil {
		r.c.Fatal(err)
	}
	if got.StatusCode != http.StatusOK {
		defer cancel()
		a, err := newAnswer(got)
		if err != nil {
			r.c.Fatal(err)
		}
		if err := contract().check(r, a); err != nil {
			r.c.Error(err)
		}
		a.TB = r.c.TB
		return nil, a
	}
	s := &stream{TB: r.c.TB, got: got, cancel: cancel, r: r}
	s.lines = bufio.NewReader(io.TeeReader(got.Body, &s.took))
	r.c.Cleanup(s.cut)
	return s, nil
}

// cut ends it as a network does.
func (s *stream) cut() {
	s.cancel()
	_ = s.got.Body.Close()
}

// try reads the next event.
func (s *stream) try() (sse, error) {
	var e sse
	for {
		line, err := s.lines.ReadString('\n')
		if err != nil {
			return e, err
		}
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch name {
		case "":
			return e, nil
		case "event":
			e.name = value
		case "id":
			e.id = value
		case "retry":
			e.retry = value
		case "data":
			e.data += value
		default:
			return e, fmt.Errorf("a line is %q", line)
		}
	}
}

// next is the next event, which must be of this name and as the contract describes it.
func (s *stream) next(name string) sse {
	s.Helper()
	e, err := s.try()
	if err != nil {
		s.Fatalf("waiting for %s: %v", name, err)
	}
	if e.name != name {
		s.Fatalf("the event is %+v, want %s", e, name)
	}
	holds(s.TB, map[string]string{"frame": "Frame", "heartbeat": "Heartbeat", "error": "Problem"}[name], e.data)
	if (name == "frame") != (e.id != "") || name == "frame" && !strings.HasPrefix(e.data, `{"seq":`+e.id+`,`) {
		s.Errorf("the id of %+v", e)
	}
	return e
}

// holds validates a text against a schema of the contract.
func holds(t testing.TB, schema, text string) {
	t.Helper()
	var value any
	if err := json.Unmarshal([]byte(text), &value); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	doc := contract().doc
	if err := doc.ValidateSchemaJSON(doc.Components.Schemas[schema].Value, value); err != nil {
		t.Errorf("%s is no %s: %v", text, schema, err)
	}
}

// frame reads the frame of this number.
func (s *stream) frame(seq int) {
	s.Helper()
	if e := s.next("frame"); e.id != strconv.Itoa(seq) {
		s.Fatalf("the frame is %s %s, want %d", e.id, e.data, seq)
	}
}

// ends reads the error that ends the stream.
func (s *stream) ends(code, action string) {
	s.Helper()
	e := s.next("error")
	var p struct {
		Code, Action string
		RetryAfterMs *int
	}
	if err := json.Unmarshal([]byte(e.data), &p); err != nil {
		s.Fatal(err)
	}
	if p.Code != code || p.Action != action || (p.RetryAfterMs != nil) != (e.retry != "") {
		s.Errorf("the stream ends with %+v, want %s %s", e, code, action)
	}
	if rest, err := io.ReadAll(s.lines); err != nil || len(rest) > 0 {
		s.Errorf("after the error: %q %v", rest, err)
	}
	a := &answer{status: s.got.StatusCode, header: s.got.Header, body: s.took.Bytes()}
	if err := contract().check(s.r, a); err != nil {
		s.Error(err)
	}
}

func TestStream(t *testing.T) {
	w := start(t, options{})
	a, b := twoSides(t, w)
	b.add("m", "p", "line\nand \u2028 line").want(http.StatusCreated)
	s := a.get("/v1/session/events").streams()
	for name, want := range map[string]string{"Content-Type": "text/event-stream", "X-Accel-Buffering": "no", "Cache-Control": "no-store", "Ack": "0", "Vary": "Accept"} {
		if got := s.got.Header.Values(name); !slices.Equal(got, []string{want}) {
			t.Errorf("%s is %q", name, got)
		}
	}
	s.next("heartbeat")
	s.frame(0)
	s.frame(1)
	b.add("m", "p", "c").want(http.StatusCreated)
	s.frame(2)
	s.cut()

	s = a.get("/v1/session/events").with("Last-Event-ID: 0").streams() // acknowledges nothing
	s.next("heartbeat")
	s.frame(1)
	s.frame(2)
	if got := a.get("/v1/session").want(http.StatusOK).number("nextSentSeq"); got != 0 {
		t.Errorf("Last-Event-ID acknowledged up to %d", got)
	}
	s = a.get("/v1/session/events?ack=2").with("Last-Event-ID: ").streams() // no event had an id
	s.next("heartbeat")
	s.frame(2)
	s = a.get("/v1/session/events?ack=2").with("Last-Event-ID: 0").streams()
	s.next("heartbeat")
	s.frame(2)
	a.post("/v1/session/ack", `{"ack": 3}`).want(http.StatusOK)
	a.get("/v1/session/events?ack=2").with("Accept: text/event-stream").refused(http.StatusConflict, "SUPERSEDED") // old news
	b.add("m", "p", "d").want(http.StatusCreated)
	s.frame(3) // and did not end this
	a.poll(3).want(http.StatusOK)
	s.ends("SUPERSEDED", "slow_down")

	s = a.get("/v1/session/events").streams() // names no epoch: it has that of its time
	s.next("heartbeat")
	s.frame(3)
	a.handshake(4, 0).want(http.StatusOK)
	s.ends("SUPERSEDED", "stop")
	a.get("/v1/session/events?epoch=1").with("Accept: text/event-stream").refused(http.StatusConflict, "SUPERSEDED")
	s = a.get("/v1/session/events?epoch=2").streams()
	s.next("heartbeat")
	a.delete("/v1/session").want(http.StatusNoContent)
	s.ends("SESSION_ENDED", "restart")
}

// Heartbeats come when they were announced, whether frames come or not.
func TestStreamHeartbeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, options{Piped: true})
		a, b := twoSides(t, w)
		began := time.Now()
		s := a.get("/v1/session/events?wait=7").streams()
		s.next("heartbeat")
		s.frame(0)
		for i := range 3 {
			time.Sleep(5 * time.Second)
			b.add("m", "p", "x").want(http.StatusCreated)
			for {
				e, err := s.try()
				if err != nil {
					t.Fatal(err)
				}
				if e.name == "frame" {
					break
				}
				var said struct{ ServerTime int64 }
				if err := json.Unmarshal([]byte(e.data), &said); err != nil {
					t.Fatal(err)
				}
				if since := time.UnixMilli(said.ServerTime).Sub(began); since%(7*time.Second) != 0 {
					t.Errorf("%d: a heartbeat after %v", i, since)
				}
			}
		}
		s.cut()
		s = a.get("/v1/session/events?ack=4&wait=0").streams() // a second at least
		s.next("heartbeat")
		began = time.Now()
		s.next("heartbeat")
		if since := time.Since(began); since != time.Second {
			t.Errorf("the heartbeat comes after %v", since)
		}
		s.cut()
		synctest.Wait()
	})
}

// To read is no sign of life: to acknowledge is.
func TestOnlyAcknowledgementsKeepAStreamAttached(t *testing.T) {
	for _, answers := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			w := start(t, options{Piped: true, Config: func(c *rendezvous.Config) { c.BootGrace, c.SessionGrace = 0, 5*time.Minute }})
			a := w.begin(t, "app", "a")
			a.open("m").want(http.StatusOK)
			s := a.get("/v1/session/events").streams()
			s.next("heartbeat")
			for began := time.Now(); time.Since(began) < 10*time.Minute; {
				e, err := s.try()
				if err != nil {
					t.Fatal(err)
				}
				if e.name == "error" {
					if answers || !strings.Contains(e.data, "SESSION_ENDED") {
						t.Errorf("after %v: %s", time.Since(began), e.data)
					}
					return
				}
				if answers {
					a.post("/v1/session/ack", `{"ack": 0}`).want(http.StatusOK)
				}
			}
			if !answers {
				t.Error("a client that only reads never expires")
			}
			if got := a.get("/v1/session").want(http.StatusOK).text("state"); got != "attached" {
				t.Errorf("the session is %s", got)
			}
			s.cut()
			synctest.Wait()
		})
	}
}

func TestStreamsDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, options{Piped: true})
		began := map[time.Duration]int{}
		var all []*stream
		for i := range 8 {
			a := w.begin(t, "app", fmt.Sprint(i))
			s := a.get("/v1/session/events").streams()
			s.next("heartbeat")
			all = append(all, s)
		}
		at := time.Now()
		ends := make(chan time.Duration, len(all))
		for _, s := range all {
			go func() {
				s.ends("DRAINING", "retry")
				ends <- time.Since(at)
			}()
		}
		w.Service.Drain()
		for range all {
			end := <-ends
			if end > 2*time.Second {
				t.Errorf("a stream ends after %v", end)
			}
			began[end]++
		}
		if len(began) < 4 {
			t.Errorf("they end all at once: %v", began)
		}
	})
}

// A client that does not read is cut, and its place given back.
func TestStreamsAreLimited(t *testing.T) {
	w := start(t, options{Limits: func(l *handlers.Limits) { l.Sockets = 2 }})
	a, b, c := w.begin(t, "app", "a"), w.begin(t, "app", "b"), w.begin(t, "app", "c")
	first := a.get("/v1/session/events").streams()
	first.next("heartbeat")
	b.get("/v1/session/events").streams().next("heartbeat")
	c.get("/v1/session/events").with("Accept: text/event-stream").refused(http.StatusTooManyRequests, "QUOTA_EXCEEDED")
	first.cut()
	if !handlerstest.Eventually(t, func() bool { s, _ := c.get("/v1/session/events").tryStream(); return s != nil }) {
		t.Error("the place is not given back")
	}
}

func TestSlowReaderOfAStreamIsCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, options{Piped: true})
		a, b := twoSides(t, w)
		s := a.get("/v1/session/events").streams()
		s.next("heartbeat")
		for range 30 {
			b.add("m", "p", strings.Repeat("x", 60_000)).want(http.StatusCreated)
		}
		time.Sleep(11 * time.Second)
		synctest.Wait()
		if n := w.Service.Stats().Streams.Load(); n != 0 {
			t.Errorf("%d streams are open", n)
		}
		w.logsClosedAt(t, "slow-reader")
	})
}

func TestStreamIsToldThatItsWindowIsFull(t *testing.T) {
	w := start(t, options{Config: func(c *rendezvous.Config) { c.Limits.WindowFrames = 5 }})
	a, b := twoSides(t, w)
	s := a.get("/v1/session/events").streams()
	s.next("heartbeat")
	s.frame(0)
	for range 2 {
		b.delete("/v1/mailboxes/m").want(http.StatusNoContent)
		b.open("m").want(http.StatusOK)
	}
	for i := range 4 {
		s.frame(i + 1)
	}
	b.delete("/v1/mailboxes/m").want(http.StatusNoContent)
	s.ends("WINDOW_FULL", "slow_down")
	s = a.get("/v1/session/events").with("Last-Event-ID: 4").streams()
	s.next("heartbeat")
	s.frame(5)
}
