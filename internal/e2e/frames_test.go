package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"restante/internal/e2e"
	"restante/internal/testclient"
	"restante/repo/pgtest"
)

// unread is a session that has frames and acknowledges none of them.
type unread struct {
	t              *testing.T
	reader, writer *testclient.Client
	first          []json.RawMessage // its frames as they were sent first
}

// newUnread has a writer send messages to a reader, which receives them once.
func newUnread(t *testing.T, s *e2e.Server) *unread {
	t.Helper()
	u := &unread{t: t, reader: e2e.NewClient(s, "reader"), writer: e2e.NewClient(s, "writer")}
	u.do(u.reader.Handshake(t.Context()))
	u.do(u.writer.Handshake(t.Context()))
	for _, c := range []*testclient.Client{u.reader, u.writer} {
		u.command(c, http.MethodPut, "/v1/mailboxes/unread", struct{}{})
	}
	for i := range 50 {
		body := fmt.Sprintf("message %d: \x01 \t \" \\ <&> ü \u2028 😀", i)
		u.command(u.writer, http.MethodPost, "/v1/mailboxes/unread/messages", map[string]string{"phase": "p", "body": body, "id": "i"})
	}
	u.command(u.writer, http.MethodDelete, "/v1/mailboxes/unread?mood=happy", nil)
	u.first = u.frames()
	if len(u.first) != 52 { // the other one opened, 50 messages, and it closed
		t.Fatalf("%d frames: %s", len(u.first), u.first)
	}
	return u
}

func (u *unread) do(err error) {
	u.t.Helper()
	if err != nil {
		u.t.Fatal(err)
	}
}

func (u *unread) command(c *testclient.Client, method, path string, body any) {
	u.t.Helper()
	a, err := c.Command(u.t.Context(), method, path, body)
	u.do(err)
	if a.Status >= http.StatusBadRequest {
		u.t.Fatalf("%s %s: %d %s", method, path, a.Status, a.Body)
	}
}

// frames receives from the first frame on.
func (u *unread) frames() []json.RawMessage {
	u.t.Helper()
	a, err := u.reader.Once(u.t.Context(), http.MethodGet, fmt.Sprintf("/v1/session/events?ack=0&epoch=%d", u.reader.Epoch()), nil, nil)
	u.do(err)
	var got struct{ Frames []json.RawMessage }
	if err := json.Unmarshal(a.Body, &got); err != nil || a.Status != http.StatusOK {
		u.t.Fatalf("%d %s: %v", a.Status, a.Body, err)
	}
	return got.Frames
}

// mustBeTheSame checks that the frames that were sent first come again, byte for byte.
func (u *unread) mustBeTheSame(when string) {
	u.t.Helper()
	got := u.frames()
	if diff := cmp.Diff(asStrings(u.first), asStrings(got[:min(len(got), len(u.first))])); diff != "" {
		u.t.Errorf("%s (-first +now):\n%s", when, diff)
	}
}

func asStrings(raw []json.RawMessage) []string {
	texts := make([]string, len(raw))
	for i, r := range raw {
		texts[i] = string(r)
	}
	return texts
}

// TestFramesStayTheSameWhenTheServerIsKilled covers a mailbox that lives, and one that is retired.
func TestFramesStayTheSameWhenTheServerIsKilled(t *testing.T) {
	t.Parallel()
	s := e2e.Serve(t, "--drain=0s")
	restart := func() {
		s.Kill()
		s.Start()
		s.WaitReady()
	}
	u := newUnread(t, s)
	restart()
	u.mustBeTheSame("after kill -9")
	u.command(u.reader, http.MethodDelete, "/v1/mailboxes/unread?mood=happy", nil) // the last one: it is retired
	u.mustBeTheSame("after the mailbox was retired")
	restart()
	u.mustBeTheSame("after kill -9 of a server whose mailbox was retired")
}

// TestFramesAreTheSameOnEveryReplica covers the same with two servers.
func TestFramesAreTheSameOnEveryReplica(t *testing.T) {
	t.Parallel()
	servers := replicas(t, 2, pgtest.Database(t))
	u := newUnread(t, servers[0])
	u.reader.MoveTo(servers[1].URL())
	u.mustBeTheSame("on another replica")
	u.command(u.reader, http.MethodDelete, "/v1/mailboxes/unread?mood=happy", nil)
	u.mustBeTheSame("where the mailbox was retired")
	u.reader.MoveTo(servers[0].URL())
	u.mustBeTheSame("on the first replica, after that")
	servers[1].Kill()
	u.mustBeTheSame("after kill -9 of the other one")
}
