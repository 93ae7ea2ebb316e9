package handlers_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"restante/handlers"
)

// A client that is refused has its answer, also if it sends on after that for longer than the system would keep it.
func TestAnswerReachesAClientThatStillSends(t *testing.T) {
	t.Parallel()
	patient := func(l *handlers.Limits) { l.WriteTime = 8 * time.Minute } // not what this is about
	w := start(t, options{Limits: patient})
	const size = 12 << 20 // more than the buffers of both systems hold
	hasty := start(t, options{Limits: func(l *handlers.Limits) { patient(l); l.BodyTime, l.Body = time.Nanosecond, size }})
	a := w.begin(t, "app", "a")
	a.open("m").want(http.StatusOK)
	whole, length := strings.Repeat("x", size), fmt.Sprint("Content-Length: ", size)
	add := "POST /v1/mailboxes/m/messages HTTP/1.1\r\nContent-Type: text/plain"
	bearer := "Authorization: Bearer " + a.id
	for name, tt := range map[string]struct {
		w      *testServer
		head   []string
		body   string
		status int
	}{
		"a message that is too large": {w, []string{add, bearer, length}, whole, http.StatusRequestEntityTooLarge},
		"one in chunks":               {w, []string{add, bearer, "Transfer-Encoding: chunked"}, fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", size, whole), http.StatusRequestEntityTooLarge},
		"one that is asked for":       {w, []string{add, bearer, length, "Expect: 100-continue"}, whole, http.StatusRequestEntityTooLarge},
		"no session":                  {w, []string{add, length}, whole, http.StatusUnauthorized},
		"no such path":                {w, []string{"POST /v1/nothing HTTP/1.1", length}, whole, http.StatusNotFound},
		"a body that comes slowly":    {hasty, []string{"POST /v1/sessions HTTP/1.1", length}, whole, http.StatusBadRequest},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := tt.w.dialRaw(t)
			defer conn.Close()
			if _, err := io.WriteString(conn, strings.Join(append(tt.head, "Host: localhost", "", ""), "\r\n")+tt.body); err != nil {
				t.Fatalf("it sends on, and has %v", err)
			}
			answers := bufio.NewReader(conn)
			got, err := readAnswer(answers, nil)
			if err == nil && got.status == http.StatusContinue {
				got, err = readAnswer(answers, nil)
			}
			if err != nil || got.status != tt.status {
				t.Errorf("it is answered %v (%v), want %d", got, err, tt.status)
			}
		})
	}
}
