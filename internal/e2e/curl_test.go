package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"restante/internal/e2e"
	"restante/internal/testclient"
	"restante/session"
)

// conversationMark stands before the conversation in the README that works when it is pasted.
const conversationMark = "<!-- conversation -->"

// conversations are the sh blocks behind the marks in a Markdown text, as one script.
func conversations(markdown string) string {
	var script strings.Builder
	for _, after := range strings.Split(markdown, conversationMark)[1:] {
		if _, block, ok := strings.Cut(after, "```sh\n"); ok {
			block, _, _ = strings.Cut(block, "```")
			script.WriteString(block)
		}
	}
	return script.String()
}

// sentBodies finds what a script's messages say.
var sentBodies = regexp.MustCompile(`"body"\s*:\s*"([^"$]+)"`)

// theConversation is the README's, as a script, and what is said in it.
func theConversation(t *testing.T) (script string, said []string) {
	t.Helper()
	readme, err := os.ReadFile(e2e.Path("README.md"))
	if err != nil {
		t.Fatalf("there is no README with a conversation: %v", err)
	}
	script = conversations(string(readme))
	if script == "" {
		t.Fatalf("README.md has no ```sh block behind %s", conversationMark)
	}
	if !strings.Contains(script, "localhost:4000") {
		t.Fatalf("the README's conversation is with no server on localhost:4000:\n%s", script)
	}
	for _, sent := range sentBodies.FindAllStringSubmatch(script, -1) {
		said = append(said, sent[1])
	}
	if len(said) == 0 {
		t.Fatalf("in the README's conversation, nothing is said:\n%s", script)
	}
	return script, said
}

// paste runs a script as a whole, with nothing changed but the port. Everything in it must succeed,
// and what is said in it must arrive.
func paste(ctx context.Context, t *testing.T, s *e2e.Server, script string, said []string) {
	t.Helper()
	bash := e2e.Command(ctx, "bash", "-e", "-o", "pipefail", "-c", strings.ReplaceAll(script, "localhost:4000", s.Address))
	out, err := bash.CombinedOutput()
	if err != nil {
		t.Errorf("the README's conversation fails: %v\n%s", err, out)
		return
	}
	if bytes.Contains(out, []byte("urn:restante:problem:")) {
		t.Errorf("something was refused:\n%s", out)
	}
	for _, body := range said {
		if !bytes.Contains(out, []byte(`"body":"`+body+`"`)) {
			t.Errorf("%q was said and does not arrive:\n%s", body, out)
		}
	}
	if strings.Contains(script, "Replayed:") != bytes.Contains(out, []byte("Replayed: true")) {
		t.Errorf("nothing was replayed:\n%s", out)
	}
}

// TestConversation pastes the README's conversation.
func TestConversation(t *testing.T) {
	t.Parallel()
	script, said := theConversation(t)
	ctx := e2e.Context(t)
	paste(ctx, t, e2e.Serve(t), script, said)
}

// TestConversationSurvives does what the README invites its readers to: it kills
// the server between any two lines of the conversation, except while a side waits for an answer.
func TestConversationSurvives(t *testing.T) {
	t.Parallel()
	script, said := theConversation(t)
	ctx := e2e.Context(t)
	deaths := make(chan chan struct{})
	executioner := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		done := make(chan struct{})
		deaths <- done
		<-done
	}))
	defer executioner.Close()

	var killing strings.Builder
	waits := false
	for line := range strings.Lines(script) {
		killing.WriteString(line)
		line = strings.TrimSpace(line)
		waits = (waits || strings.HasSuffix(line, "&")) && !strings.HasPrefix(line, "wait")
		whole := e2e.Command(ctx, "bash", "-n", "-c", killing.String()).Run() == nil
		if line != "" && line[0] != '#' && !waits && whole && !strings.HasSuffix(line, `\`) {
			killing.WriteString("curl -sS " + executioner.URL + "\n")
		}
	}
	s := e2e.Serve(t)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		paste(ctx, t, s, killing.String(), said)
	}()
	for kills := 0; ; kills++ {
		select {
		case done := <-deaths:
			s.Kill()
			s.Start()
			s.WaitReady()
			close(done)
			continue
		case <-ended:
		}
		if kills < 10 {
			t.Errorf("it was killed %d times only", kills)
		}
		t.Logf("killed %d times, between any two lines", kills)
		return
	}
}

// curl is one curl process.
type curl struct {
	cmd  *exec.Cmd
	out  bytes.Buffer
	done chan error
}

// visitor is a person with curl and a session id.
type visitor struct {
	s     *e2e.Server
	id    string
	acked int64
}

func (v *visitor) curl(t *testing.T, arguments ...string) *curl {
	t.Helper()
	arguments = append([]string{"--silent", "--show-error", "--no-buffer", "--fail-with-body", "-H", "Authorization: Bearer " + v.id}, arguments...)
	arguments[len(arguments)-1] = v.s.URL() + arguments[len(arguments)-1]
	c := &curl{cmd: e2e.Command(e2e.Context(t), "curl", arguments...), done: make(chan error, 1)}
	var complaints bytes.Buffer
	c.cmd.Stdout, c.cmd.Stderr = &c.out, &complaints
	if err := c.cmd.Start(); err != nil {
		t.Fatalf("curl is needed here: %v", err)
	}
	go func() {
		err := c.cmd.Wait()
		if err != nil {
			err = fmt.Errorf("curl %q: %w: %s%s", arguments, err, complaints.String(), c.out.String())
		}
		c.done <- err
	}()
	return c
}

// end waits for a curl, and reads its answer into something.
func (c *curl) end(t *testing.T, into any) {
	t.Helper()
	select {
	case err := <-c.done:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(e2e.Limit):
		t.Fatalf("curl %q does not end", c.cmd.Args)
	}
	if into == nil {
		return
	}
	if err := json.Unmarshal(c.out.Bytes(), into); err != nil {
		t.Fatalf("%s: %v", c.out.String(), err)
	}
}

// say is a curl that only has to succeed.
func (v *visitor) say(t *testing.T, into any, arguments ...string) {
	t.Helper()
	v.curl(t, arguments...).end(t, into)
}

// shake begins the visitor's session.
func (v *visitor) shake(t *testing.T) {
	t.Helper()
	v.id = session.NewID().Reveal()
	v.s.Secret(v.id)
	v.say(t, nil, "-H", "Content-Type: application/json", "-d", fmt.Sprintf(
		`{"protocolVersion":"1","sessionId":%q,"appId":"example.org/curl","expectedSessionState":{"nextExpectedSeq":0,"nextSentSeq":0}}`, v.id), "/v1/sessions")
}

// add leaves a message.
func (v *visitor) add(t *testing.T, mailbox, body string) *curl {
	t.Helper()
	return v.curl(t, "-H", "Content-Type: application/json", "-d", fmt.Sprintf(`{"phase":"talk","body":%q}`, body), "/v1/mailboxes/"+mailbox+"/messages")
}

// receive waits for frames by long-poll.
func (v *visitor) receive(t *testing.T) *curl {
	t.Helper()
	return v.curl(t, fmt.Sprintf("/v1/session/events?ack=%d", v.acked))
}

// frames are those of an answer, which are thereby processed.
func (v *visitor) frames(t *testing.T, c *curl) []testclient.Frame {
	t.Helper()
	var got struct{ Frames []testclient.Frame }
	c.end(t, &got)
	for _, f := range got.Frames {
		if f.Seq != v.acked {
			t.Errorf("frame %d came, frame %d was wanted", f.Seq, v.acked)
		}
		v.acked++
	}
	return got.Frames
}

// TestTwoCurls is two people with curl, from the handshake to the end. A row in the usage records is
// all that they leave. A message wakes the side that waits for it: by itself,
// the server would answer after an hour, which is longer than the test may take.
func TestTwoCurls(t *testing.T) {
	t.Parallel()
	s := e2e.Serve(t, "--drain=0s", "--heartbeat-interval=1h")
	anna, bob := &visitor{s: s}, &visitor{s: s}
	anna.shake(t)
	bob.shake(t)
	var allocated, claimed struct{ Nameplate, Mailbox string }
	anna.say(t, &allocated, "-X", "POST", "/v1/nameplates")
	bob.say(t, &claimed, "-X", "PUT", "/v1/nameplates/"+allocated.Nameplate)
	if claimed != allocated {
		t.Fatalf("anna allocated %v, bob claimed %v", allocated, claimed)
	}
	mailbox := claimed.Mailbox
	anna.say(t, nil, "-X", "PUT", "/v1/mailboxes/"+mailbox)
	bob.say(t, nil, "-X", "PUT", "/v1/mailboxes/"+mailbox)
	if got := anna.frames(t, anna.receive(t)); len(got) != 1 || got[0].Type != "opened" {
		t.Fatalf("anna received %v, want that bob opened the mailbox", got)
	}

	for i := range 8 {
		from, to := anna, bob
		if i%2 == 1 {
			from, to = bob, anna
		}
		body := fmt.Sprintf("letter-number-%d", i)
		s.Secret(body)
		poll := to.receive(t)
		s.WaitPolls(1)
		add := from.add(t, mailbox, body)
		add.end(t, nil)
		got := to.frames(t, poll)
		if len(got) != 1 || got[0].Type != "message" || got[0].Body != body || got[0].Position != int64(i+1) {
			t.Fatalf("message %d arrived as %v", i, got)
		}
	}

	anna.say(t, nil, "-X", "DELETE", "/v1/mailboxes/"+mailbox+"?mood=happy")
	if got := bob.frames(t, bob.receive(t)); len(got) != 1 || got[0].Type != "closed" || got[0].Mood != "happy" {
		t.Errorf("bob received %v, want that anna closed happily", got)
	}
	bob.say(t, nil, "-X", "DELETE", "/v1/session?mood=happy")
	anna.say(t, nil, "-X", "DELETE", "/v1/session")
	if counts := s.Status().Counts; counts.Nameplates+counts.Mailboxes+counts.Messages != 0 {
		e2e.Eventually(t, "the status counts nothing any more", func() bool {
			counts = s.Status().Counts
			return counts.Nameplates+counts.Mailboxes+counts.Messages+counts.Sessions == 0
		})
	}
	rows := map[string]int{"usage_nameplates": 1, "usage_mailboxes": 1}
	e2e.CheckNothingLeft(t, s, rows) // beside the server, which has it open
	s.Signal(syscall.SIGTERM)
	if code := s.Wait(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	e2e.CheckNothingLeft(t, s, rows)
}

// TestCurlStreams has curl read an event stream of the real program.
func TestCurlStreams(t *testing.T) {
	t.Parallel()
	for name, flag := range map[string]string{"HTTP/1.1": "--http1.1", "HTTP/2": "--http2-prior-knowledge"} {
		t.Run(name, func(t *testing.T) { curlStreams(t, flag) })
	}
}

func curlStreams(t *testing.T, flag string) {
	s := e2e.Serve(t, "--h2c")
	ctx := e2e.Context(t)
	const script = `
S=http://localhost:4000
id=0123456789abcdef0123456789abcdef
curl -sS --fail-with-body -o /dev/null $S/v1/sessions --json '{"protocolVersion":"1","sessionId":"'$id'","appId":"a","expectedSessionState":{"nextExpectedSeq":0,"nextSentSeq":0}}'
peer=$(curl -sS $S/v1/sessions --json '{"protocolVersion":"1","appId":"a","expectedSessionState":{"nextExpectedSeq":0,"nextSentSeq":0}}' | sed 's/.*"sessionId":"\([^"]*\)".*/\1/')
curl -sS -o /dev/null -X PUT $S/v1/mailboxes/m -H "Authorization: Bearer $id"
curl -sSN FLAG $S/v1/session/events -H "Authorization: Bearer $id" -H 'Accept: text/event-stream' >stream &
curl -sS -o /dev/null -X PUT $S/v1/mailboxes/m -H "Authorization: Bearer $peer"
curl -sS -o /dev/null $S/v1/mailboxes/m/messages -H "Authorization: Bearer $peer" --json '{"phase":"p","body":"streamed"}'
until grep -q streamed stream; do sleep 0.1; done
curl -sS -o /dev/null -X DELETE $S/v1/session -H "Authorization: Bearer $id"
wait $!
cat stream
`
	bash := e2e.Command(ctx, "bash", "-e", "-c", strings.NewReplacer("localhost:4000", s.Address, "FLAG", flag).Replace(script))
	bash.Dir = t.TempDir()
	out, err := bash.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{"event: heartbeat\n", "event: frame\nid: 0\n", "event: frame\nid: 1\n", `"body":"streamed"`, "event: error\n", `"SESSION_ENDED"`} {
		if !strings.Contains(string(out), want) {
			t.Errorf("there is no %q in\n%s", want, out)
		}
	}
}
