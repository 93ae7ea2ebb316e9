package handlers_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"restante/handlers"
)

// unread is a client that has not begun to read: it takes nothing before read is closed.
type unread struct {
	*httptest.ResponseRecorder
	asked func() // called when an answer is there
	read  chan struct{}
}

func (u *unread) Write(b []byte) (int, error) {
	u.asked()
	<-u.read
	return u.ResponseRecorder.Write(b)
}

// TestUnreadAnswersAreSmall has an address, or the IPv6 networks of 64 bits in one of 48, ask for many large answers and
// not read them: the first 16, or 64, are as large as they may be, all others have one message. Once they have read,
// answers are large again.
func TestUnreadAnswersAreSmall(t *testing.T) {
	w := start(t, options{})
	a := w.begin(t, "app", "a")
	a.open("m").want(http.StatusOK)
	b := w.begin(t, "app", "b")
	b.open("m").want(http.StatusOK)
	for range 3 {
		b.add("m", "p", strings.Repeat("b", 10_000)).want(http.StatusCreated)
	}
	handler := w.Handlers.Handler()
	ask := func(path, from string, into http.ResponseWriter) {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
		r.RemoteAddr = from
		r.Header.Set("Authorization", "Bearer "+a.id)
		handler.ServeHTTP(into, r)
	}
	for what, path := range map[string]string{
		"a log": "/v1/mailboxes/m/messages", "a log that waits": "/v1/mailboxes/m/messages?wait=1&own=true", "a poll": "/v1/session/events?ack=0",
	} {
		for _, from := range []struct {
			clients string
			address func(i int) string
			most    int
		}{
			{"an address", func(int) string { return "192.0.2.1:4711" }, 16},
			{"a network", func(i int) string { return fmt.Sprintf("[2001:db8:7:%x::1]:4711", i) }, 4 * 16},
		} {
			t.Run(what+" for "+from.clients, func(t *testing.T) {
				all := from.most + 8
				counts := map[int]int{} // answers, by how many messages they have
				read := make(chan struct{})
				var underWay, answered sync.WaitGroup
				clients := make([]*unread, all)
				for i := range clients {
					if i == from.most {
						underWay.Wait()
					}
					underWay.Add(1)
					clients[i] = &unread{httptest.NewRecorder(), sync.OnceFunc(underWay.Done), read}
					answered.Go(func() { ask(path, from.address(i), clients[i]) })
				}
				underWay.Wait()
				close(read)
				answered.Wait()
				for _, c := range clients {
					counts[strings.Count(c.Body.String(), `"body"`)]++
				}
				if counts[3] != from.most || counts[1] != all-from.most {
					t.Errorf("answers, by how many messages they have: %v", counts)
				}
				after := httptest.NewRecorder()
				if ask(path, from.address(0), after); strings.Count(after.Body.String(), `"body"`) != 3 {
					t.Errorf("the answer after that: %s", after.Body)
				}
			})
		}
	}
}

// TestAnswersAreLargeBesidePollsThatWait has polls, or reads of logs, wait on their goroutines, as over HTTP/2 and TLS.
// They are no answers under way, so another answer is as large as it may be.
func TestAnswersAreLargeBesidePollsThatWait(t *testing.T) {
	for what, path := range map[string]string{"polls": "/v1/session/events", "reads": "/v1/mailboxes/%d/messages?open=true&wait=9"} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := start(t, options{Piped: true, Limits: func(l *handlers.Limits) { l.Linger = 100 * time.Millisecond }})
				a := w.begin(t, "app", "a")
				a.open("m").want(http.StatusOK)
				for range 3 {
					a.add("m", "p", strings.Repeat("b", 10_000)).want(http.StatusCreated)
				}
				var waiting []<-chan *answer
				for i := range 17 {
					target := strings.Replace(path, "%d", strconv.Itoa(i), 1)
					waiting = append(waiting, w.begin(t, "app", fmt.Sprintf("waits%d", i)).get(target).later())
				}
				synctest.Wait()
				for range 2 {
					if held := w.Service.Stats().Parked.Load(); held != 17 {
						t.Errorf("%d are held", held)
					}
					if got := a.get("/v1/mailboxes/m/messages").want(http.StatusOK); got.count("messages") != 3 {
						t.Errorf("a read has %d messages, want 3", got.count("messages"))
					}
					pass(time.Second) // they no longer linger
				}
				pass(time.Minute)
				for _, answered := range waiting {
					if got := <-answered; got.status != http.StatusOK {
						t.Errorf("it is answered %d %s", got.status, got.body)
					}
				}
			})
		})
	}
}
