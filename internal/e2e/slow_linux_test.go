package e2e_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"restante/internal/e2e"
	"restante/internal/testclient"
)

// paced reads 32 KiB a second. What the machine has no time for is made up for later.
type paced struct {
	ctx     context.Context
	from    net.Conn
	began   time.Time
	read    int
	last    time.Time     // when the last Read returned
	longest time.Duration // that a Read took
}

func (p *paced) Read(b []byte) (int, error) {
	if p.began.IsZero() {
		p.began, p.last = time.Now(), time.Now()
	}
	due := 0
	for due <= 0 {
		if err := testclient.Pause(p.ctx, 25*time.Millisecond); err != nil {
			return 0, err
		}
		due = int(time.Since(p.began).Milliseconds()<<5) - p.read
	}
	n, err := p.from.Read(b[:min(len(b), due)])
	p.read += n
	p.longest = max(p.longest, time.Since(p.last))
	p.last = time.Now()
	return n, err
}

// letters has each client find a message that is larger, as it is sent, than what systems take in
// for those who do not read: a control character takes six times its place.
func letters(ctx context.Context, t *testing.T, s *e2e.Server, readers []*testclient.Client) {
	t.Helper()
	writer := e2e.NewClient(s, "writer")
	if err := writer.Handshake(ctx); err != nil {
		t.Fatal(err)
	}
	err := e2e.AtOnce(readers, func(c *testclient.Client) error {
		if err := c.Handshake(ctx); err != nil {
			return err
		}
		path := "/v1/mailboxes/for-" + c.Side()
		for _, one := range []*testclient.Client{writer, c} {
			if _, err := one.Command(ctx, http.MethodPut, path, nil); err != nil {
				return err
			}
		}
		_, err := writer.Command(ctx, http.MethodPost, path+"/messages", map[string]string{"phase": "large", "body": strings.Repeat("\x01", 64<<10)})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// receiveOver sends a receive on a connection of its own, and reads no answer.
func receiveOver(t *testing.T, over net.Conn, c *testclient.Client) {
	t.Helper()
	if _, err := fmt.Fprintf(over, "GET /v1/session/events?ack=0 HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n\r\n", c.ID()); err != nil {
		t.Fatal(err)
	}
}

// stuck has each of the clients ask for its letter, and not read it.
func stuck(t *testing.T, s *e2e.Server, clients []*testclient.Client) (all []net.Conn) {
	t.Helper()
	for _, c := range clients {
		over := e2e.DialThin(t, s.Address)
		receiveOver(t, over, c)
		all = append(all, over)
	}
	return all
}

// dawdling has so many clients ask, a letter at a time, until the server has had enough.
func dawdling(ctx context.Context, t *testing.T, s *e2e.Server, n int) (all []net.Conn) {
	t.Helper()
	for range n {
		c := e2e.DialThin(t, s.Address)
		all = append(all, c)
		go func() {
			for _, letter := range "GET /v1/status HTTP/1.1\r\nHost: localhost\r\nX-Padding: " + strings.Repeat("z", 1000) {
				if _, err := io.WriteString(c, string(letter)); err != nil || testclient.Pause(ctx, 100*time.Millisecond) != nil {
					return
				}
			}
		}()
	}
	return all
}

// readers are clients, each with a letter.
func readers(ctx context.Context, t *testing.T, s *e2e.Server, n int) []*testclient.Client {
	t.Helper()
	all := make([]*testclient.Client, n)
	for i := range all {
		all[i] = e2e.NewClient(s, fmt.Sprintf("reader-%d", i))
	}
	letters(ctx, t, s, all)
	return all
}

// tooMuch is what a client that does not read is not given.
const tooMuch = 380 << 10

// TestNobodyWaitsForSlowClients has clients that ask and do not read, and others that do not come to the end of
// asking. The server has patience with them for longer than this test may take. If anybody waited for them, it would hang.
func TestNobodyWaitsForSlowClients(t *testing.T) {
	t.Parallel()
	const each = 12
	s := e2e.Serve(t, "--max-body=1000000")
	ctx := e2e.Context(t)
	slow := stuck(t, s, readers(ctx, t, s, each))
	dawdling(ctx, t, s, each)
	p := e2e.NewPairs(s, 1)[0]
	if err := p.Meet(ctx); err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		if _, err := p[0].Command(ctx, http.MethodPost, "/v1/mailboxes/"+p[0].Mailbox+"/messages", p[0].Message(i)); err != nil {
			t.Fatal(err)
		}
		if err := p[1].Listen(ctx, func(f testclient.Frame) (bool, error) { return f.Type == "message", nil }); err != nil {
			t.Fatal(err)
		}
	}
	_ = slow[0].SetReadDeadline(time.Now().Add(e2e.Limit)) // it is a TCP connection, which can
	response, err := http.ReadResponse(bufio.NewReader(slow[0]), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if n, err := io.Copy(io.Discard, response.Body); err != nil || response.StatusCode != http.StatusOK || n < tooMuch {
		t.Errorf("this shows nothing: a client that did not read was let go or refused, %s after %d bytes: %v", response.Status, n, err)
	}
}

// TestSlowClients has clients that ask and do not read, and others that do not come to the end of asking, until the
// server has no patience left. What they asked for is there when they come again.
func TestSlowClients(t *testing.T) {
	t.Parallel()
	const each = 6
	s := e2e.Serve(t, "--slow-reader=2s", "--max-body=1000000", "--log-level=debug")
	ctx := e2e.Context(t)
	all := readers(ctx, t, s, each)
	began := time.Now()
	slow := append(stuck(t, s, all), dawdling(ctx, t, s, each)...)

	// Those who do not read cannot know when they are let go, as they would have to read.
	e2e.Eventually(t, "the server lets go of those who do not read", func() bool {
		return strings.Count(s.Output.String(), `"route":"/v1/session/events"`) == each
	})
	for i, c := range slow {
		_ = c.SetReadDeadline(time.Now().Add(e2e.Limit)) // it is a TCP connection, which can
		got, err := io.ReadAll(c)
		if err != nil && !errors.Is(err, syscall.ECONNRESET) {
			t.Fatalf("slow client %d is not let go: %v", i, err)
		}
		if len(got) > tooMuch {
			t.Errorf("a client that did not read was given it all, %d bytes: nothing had to wait", len(got))
		}
	}
	gone := time.Since(began)
	if err := e2e.AtOnce(all, func(c *testclient.Client) error {
		return c.Listen(ctx, func(f testclient.Frame) (bool, error) { return f.Type == "message", nil })
	}); err != nil {
		t.Error(err)
	}
	t.Logf("%d that do not read and %d that do not finish asking were let go within %v", each, each, gone.Round(time.Millisecond))
}

// TestSlowReadersAreServed has a client that takes longer for its letter than the server waits for a client that does
// not read at all: it is served to the end.
func TestSlowReadersAreServed(t *testing.T) {
	t.Parallel()
	const patience = 5 * time.Second
	s := e2e.Serve(t, "--slow-reader="+patience.String(), "--max-body=1000000")
	ctx := e2e.Context(t)
	c := readers(ctx, t, s, 1)[0]
	for try := 1; ; try++ {
		reader := &paced{ctx: ctx, from: e2e.DialThin(t, s.Address)}
		receiveOver(t, reader.from, c)
		response, err := http.ReadResponse(bufio.NewReader(reader), nil)
		if err == nil {
			_, err = io.Copy(io.Discard, response.Body)
			_ = response.Body.Close()
		}
		took := time.Since(reader.began)
		if err != nil && reader.longest > patience/4 && ctx.Err() == nil {
			t.Logf("try %d shows nothing: on this machine, a read took %v, and the letter: %v", try, reader.longest, err)
			continue
		}
		if err != nil || response.StatusCode != http.StatusOK || reader.read < tooMuch || took < 2*patience {
			t.Errorf("after %d bytes in %v, of which one read took %v: %v", reader.read, took, reader.longest, err)
		}
		return
	}
}
