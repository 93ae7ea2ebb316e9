package idleconn_test

import (
	"bufio"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"restante/internal/idleconn"
)

// answering is a server whose GET /goes-on begins an answer with a line, and has its test go on with it, and whose GET
// /now does not.
type answering struct {
	testing.TB
	server   *idleconn.Server
	address  string
	detached chan *idleconn.Answer
	refused  chan struct{}
}

// limit is in which a client must take a piece of an answer. Those of these tests do.
const limit = 4 * time.Minute

func answer(t testing.TB) *answering {
	t.Helper()
	a := &answering{TB: t, detached: make(chan *idleconn.Answer, 300), refused: make(chan struct{}, 1)}
	server := &http.Server{Handler: a, ReadHeaderTimeout: time.Minute}
	a.server = idleconn.NewServer(server, idleconn.Options{Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	a.address = l.Addr().String()
	var serving sync.WaitGroup
	serving.Go(func() { _ = a.server.Serve(l) })
	t.Cleanup(func() {
		_ = a.server.Close()
		serving.Wait()
	})
	return a
}

func (a *answering) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/now" {
		_, _ = io.WriteString(w, "at once")
		return
	}
	_, _ = io.WriteString(w, "it begins\n")
	_ = http.NewResponseController(w).Flush()
	if detached, is := idleconn.Detach(w, r); is {
		a.detached <- detached
		return
	}
	_, _ = io.WriteString(w, "and ends\n")
	a.refused <- struct{}{}
}

func (a *answering) dial() *client {
	a.Helper()
	conn, err := new(net.Dialer).DialContext(a.Context(), "tcp", a.address)
	if err != nil {
		a.Fatal(err)
	}
	a.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(limit))
	return &client{a.TB, conn, bufio.NewReader(conn)}
}

const (
	goesOn = "GET /goes-on HTTP/1.1\r\nHost: x\r\n\r\n"
	now    = "GET /now HTTP/1.1\r\nHost: x\r\n\r\n"
)

func TestAnAnswerGoesOnWithoutItsHandler(t *testing.T) {
	a := answer(t)
	c := a.dial()
	for range 3 { // one after the other, on one connection
		c.say(goesOn)
		detached := <-a.detached
		detached.OnHangUp(func() { t.Error("a client that waits has hung up") })
		long := strings.Repeat("x", 100_000)
		for _, chunk := range []string{"", "a\n", long} {
			if err := detached.Write([]byte(chunk), limit); err != nil {
				t.Fatal(err)
			}
		}
		detached.Finish(limit)
		c.expect("it begins\na\n" + long)
		c.say(now)
		c.expect("at once")
	}
}

func TestWhatIsSentDuringAnAnswerIsServedAfterIt(t *testing.T) {
	for name, later := range map[string]bool{"with the request": false, "later": true} {
		t.Run(name, func(t *testing.T) {
			a := answer(t)
			c := a.dial()
			first, then := goesOn+now+now, ""
			if later {
				first, then = goesOn, now+now
			}
			c.say(first)
			detached := <-a.detached
			detached.OnHangUp(func() { t.Error("a client that says more has hung up") })
			c.say(then)
			if err := detached.Write([]byte("more"), limit); err != nil {
				t.Fatal(err)
			}
			detached.Finish(limit)
			c.expect("it begins\nmore")
			c.expect("at once")
			c.expect("at once")
		})
	}
}

func TestAnAnswerWhoseClientHangsUp(t *testing.T) {
	a := answer(t)
	c := a.dial()
	c.say(goesOn)
	detached := <-a.detached
	hungUp := make(chan struct{})
	detached.OnHangUp(func() { close(hungUp) })
	_ = c.Close()
	<-hungUp
	detached.Close()
}

func TestAnAnswerThatIsClosedIsIncomplete(t *testing.T) {
	a := answer(t)
	c := a.dial()
	c.say(goesOn)
	(<-a.detached).Close()
	response, err := http.ReadResponse(c.in, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if got, err := io.ReadAll(response.Body); !errors.Is(err, io.ErrUnexpectedEOF) || string(got) != "it begins\n" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestAnswersNeedNoGoroutines(t *testing.T) {
	a := answer(t)
	const many = 300
	var answers []*idleconn.Answer
	for range many {
		a.dial().say(goesOn)
		detached := <-a.detached
		detached.OnHangUp(func() {})
		answers = append(answers, detached)
	}
	eventually(t, "no goroutine of theirs is left", func() bool { return runtime.NumGoroutine() < many/10 })
	for _, detached := range answers {
		detached.Close()
	}
}

// TestAServerWaitsForAnswers holds that a server that is shut down waits until its answers have ended, and closes the
// connections of those that have.
func TestAServerWaitsForAnswers(t *testing.T) {
	a := answer(t)
	c, other := a.dial(), a.dial()
	c.say(goesOn)
	detached := <-a.detached
	other.say(goesOn)
	(<-a.detached).Finish(limit)
	other.expect("it begins\n")
	ended := make(chan error, 1)
	go func() { ended <- a.server.Shutdown(t.Context()) }()
	eventually(t, "no more answers go on", func() bool {
		late := a.dial()
		if _, err := io.WriteString(late, goesOn); err != nil {
			return true
		}
		select {
		case <-a.refused:
			return true
		case more := <-a.detached:
			more.Close()
			return false
		}
	})
	select {
	case err := <-ended:
		t.Fatalf("it has not waited: %v", err)
	default:
	}
	if err := detached.Write([]byte("the end"), limit); err != nil {
		t.Fatal(err)
	}
	detached.Finish(limit)
	c.expect("it begins\nthe end")
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if _, err := c.in.ReadByte(); !errors.Is(err, io.EOF) {
		t.Errorf("the connection is not closed: %v", err)
	}
}

// TestAServerThatIsClosedEndsAnswers holds that their owners are told.
func TestAServerThatIsClosedEndsAnswers(t *testing.T) {
	a := answer(t)
	a.dial().say(goesOn)
	detached := <-a.detached
	told := make(chan struct{})
	detached.OnHangUp(func() { close(told) })
	_ = a.server.Close()
	<-told
	late := make(chan struct{})
	detached.OnHangUp(func() { close(late) })
	<-late
	detached.Close()
}

func TestWhatDoesNotGoOnWithoutItsHandler(t *testing.T) {
	for name, request := range map[string]string{
		"a connection that is to be closed": "GET /goes-on HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
		"one of HTTP/1.0":                   "GET /goes-on HTTP/1.0\r\n\r\n",
		"one of HTTP/1.0 that is kept":      "GET /goes-on HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			a := answer(t)
			c := a.dial()
			c.say(request)
			<-a.refused
			c.expect("it begins\nand ends\n")
		})
	}
}

func TestAClientThatDoesNotReadAnAnswerIsNoticed(t *testing.T) {
	a := answer(t)
	c := a.dial()
	c.say(goesOn)
	detached := <-a.detached
	defer detached.Close()
	var err error
	for chunk := make([]byte, 1<<20); err == nil; {
		err = detached.Write(chunk, time.Millisecond)
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("it ends with %v", err)
	}
}
