package handlers_test

import (
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

// rawHalfClosed sends bytes as they are, says that no more will come, and reads one response.
func (w *testServer) rawHalfClosed(t testing.TB, request string) *answer {
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
		t.Fatalf("%.60q: %v", request, err)
	}
	a.TB = t
	return a
}
