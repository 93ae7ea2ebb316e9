package handlers_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// A request whose body is cut off may be sent again: nothing was done, and its number is still wanted.
func TestABodyThatIsCutOffMayBeSentAgain(t *testing.T) {
	w := start(t, options{})
	a := w.begin(t, "app", "a")
	const text = "A text that is longer than what arrives."
	begins := strings.Replace(hello(), "{", `{"sessionId": "`+strings.Repeat("c", 22)+`", `, 1)
	for what, tt := range map[string]struct {
		target, headers, body string
		status                int // of the whole request, sent again
	}{
		"a handshake":         {"POST /v1/sessions", "", begins, http.StatusCreated},
		"a command":           {"POST /v1/nameplates", "Seq: 0\r\n", `{"ttlMs": 600000}`, http.StatusCreated},
		"an acknowledgement":  {"POST /v1/session/ack", "", `{"ack": 0}`, http.StatusOK},
		"a message as a text": {"POST /v1/mailboxes/m/messages?open=true", "", text, http.StatusCreated},
	} {
		method, path, _ := strings.Cut(tt.target, " ")
		media := "application/json"
		if tt.body == text {
			media = "text/plain"
		}
		head := tt.target + " HTTP/1.1\r\nHost: restante.test\r\nContent-Type: " + media + "\r\nAuthorization: Bearer " + a.id + "\r\n" + tt.headers
		length := fmt.Sprintf("Content-Length: %d\r\n\r\n", len(tt.body))
		for how, sent := range map[string]string{
			"fewer bytes than it says":        length + tt.body[:len(tt.body)-1],
			"no byte":                         length,
			"no last chunk":                   "Transfer-Encoding: chunked\r\n\r\n" + fmt.Sprintf("%x\r\n%s\r\n", len(tt.body), tt.body),
			"half a chunk":                    "Transfer-Encoding: chunked\r\n\r\n" + fmt.Sprintf("%x\r\n%s", len(tt.body), tt.body[:len(tt.body)/2]),
			"a chunk's length, and no chunk":  "Transfer-Encoding: chunked\r\n\r\n" + fmt.Sprintf("%x\r\n", len(tt.body)),
			"not even the length of a chunk ": "Transfer-Encoding: chunked\r\n\r\n",
		} {
			got := w.rawHalfClosed(t, head+sent)
			if got.status != http.StatusBadRequest || got.text("code") != "BODY_INCOMPLETE" || got.text("action") != "retry" || got.at("retriable") != true {
				t.Errorf("%s with %s is answered %d %s", what, how, got.status, got.body)
			}
			if err := contract().check(a.ask(method, path, ""), got); err != nil {
				t.Errorf("%s with %s: %v", what, how, err)
			}
		}
		whole := w.raw(t, head+length+tt.body)
		if whole.status != tt.status {
			t.Errorf("%s, sent again, is answered %d %s", what, whole.status, whole.body)
		}
	}
}

// A client that says that it will send no more still reads: what it asked for in whole is done and answered. What it
// would have waited for is not answered; never is there an answer that the contract does not know.
func TestAWholeRequestOfAClientThatSendsNoMore(t *testing.T) {
	w := start(t, options{})
	a := w.begin(t, "app", "a")
	a.open("m").want(http.StatusOK)
	begins := func() string {
		return strings.Replace(hello(), "{", `{"sessionId": "`+newID()+`", `, 1)
	}
	for what, tt := range map[string]struct {
		target, accept string
		body           func() string
		status         int // 0: the connection is cut
	}{
		"a handshake":           {"POST /v1/sessions", "", begins, http.StatusCreated},
		"a command":             {"POST /v1/nameplates", "", func() string { return `{}` }, http.StatusCreated},
		"an acknowledgement":    {"POST /v1/session/ack", "", func() string { return `{"ack": 0}` }, http.StatusOK},
		"a message":             {"POST /v1/mailboxes/m/messages", "", func() string { return `{"phase": "p", "body": "b"}` }, http.StatusCreated},
		"a look at the session": {"GET /v1/session", "", nil, http.StatusOK},
		"a read":                {"GET /v1/mailboxes/m/messages", "", nil, http.StatusOK},
		"a poll without a wait": {"GET /v1/session/events?wait=0", "", nil, http.StatusOK},
		"a look at the server":  {"GET /v1/status", "", nil, http.StatusOK},
		"a poll":                {"GET /v1/session/events", "", nil, 0},
		"a read that waits":     {"GET /v1/mailboxes/m/messages?wait=20", "", nil, 0},
		"a text that waits":     {"GET /v1/mailboxes/m/messages?wait=20", "text/plain", nil, 0},
	} {
		method, path, _ := strings.Cut(tt.target, " ")
		head := tt.target + " HTTP/1.1\r\nHost: restante.test\r\nAuthorization: Bearer " + a.id + "\r\n"
		if tt.accept != "" {
			head += "Accept: " + tt.accept + "\r\n"
		}
		for range 10 { // the server may notice it before or after it has answered
			request := head + "\r\n"
			if tt.body != nil {
				body := tt.body()
				request = fmt.Sprintf("%sContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", head, len(body), body)
			}
			got, err := w.tryHalfClosed(t, request)
			if tt.status == 0 {
				if !errors.Is(err, io.ErrUnexpectedEOF) {
					t.Errorf("%s: %v %v, want no answer", what, got, err)
				}
				continue
			}
			if err != nil || got.status != tt.status {
				t.Fatalf("%s: %v %v, want %d", what, got, err, tt.status)
			}
			if err := contract().check(a.ask(method, path, ""), got); err != nil {
				t.Errorf("%s: %v", what, err)
			}
		}
	}
	if n := a.get("/v1/mailboxes/m/messages?limit=1").want(http.StatusOK).number("lastPosition"); n != 10 {
		t.Errorf("there are %d messages, and 10 were acknowledged", n)
	}
}

// rawHalfClosed sends bytes as they are, says that no more will come, and reads one response.
func (w *testServer) rawHalfClosed(t testing.TB, request string) *answer {
	t.Helper()
	a, err := w.tryHalfClosed(t, request)
	if err != nil {
		t.Fatalf("%.60q: %v", request, err)
	}
	return a
}

// tryHalfClosed is rawHalfClosed for what may get no response.
func (w *testServer) tryHalfClosed(t testing.TB, request string) (*answer, error) {
	t.Helper()
	conn := w.dialRaw(t)
	defer conn.Close()
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	a, err := readAnswer(conn, nil)
	if err != nil {
		return nil, err
	}
	a.TB = t
	return a, nil
}
