package e2e_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"restante/internal/e2e"
)

// thin dials a connection that takes in next to nothing that is not read, so
// that who writes to it has to wait. (By default, a system takes in an answer whole.)
func thin(t *testing.T, address string) net.Conn {
	t.Helper()
	dialer := net.Dialer{Control: func(_, _ string, raw syscall.RawConn) error {
		var err error
		return errors.Join(raw.Control(func(fd uintptr) {
			err = errors.Join(
				syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4096),
				syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_MAXSEG, 536))
		}), err)
	}}
	c, err := dialer.DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() }) // it may have been closed
	return c
}

// paced reads no faster than 64 KiB a second.
type paced struct {
	ctx  context.Context
	from net.Conn
}

func (p paced) Read(b []byte) (int, error) {
	if err := e2e.Pause(p.ctx, 25*time.Millisecond); err != nil {
		return 0, err
	}
	return p.from.Read(b[:min(len(b), 64<<10/40)])
}

// letters has each client find a message that is larger, as it is sent, than what systems take in
// for those who do not read: a control character takes six times its place.
func letters(ctx context.Context, t *testing.T, s *e2e.Server, readers []*e2e.Client) {
	t.Helper()
	writer := e2e.NewClient(s, "writer")
	if err := writer.Handshake(ctx); err != nil {
		t.Fatal(err)
	}
	err := e2e.AtOnce(readers, func(c *e2e.Client) error {
		if err := c.Handshake(ctx); err != nil {
			return err
		}
		path := "/v1/mailboxes/for-" + c.Side()
		for _, one := range []*e2e.Client{writer, c} {
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
func receiveOver(t *testing.T, over net.Conn, c *e2e.Client) {
	t.Helper()
	if _, err := fmt.Fprintf(over, "GET /v1/session/events?ack=0 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n", c.ID()); err != nil {
		t.Fatal(err)
	}
}

// TestSlowClients has clients that ask and do not read, and others that do not
// come to the end of asking, for as long as the server has patience with them. Nobody else may wait for
// them; and who is slow, but does read, is served to the end.
func TestSlowClients(t *testing.T) { // alone: it is about time
	const each, patience = 12, 2 * time.Second
	s := e2e.Serve(t, "--slow-reader="+patience.String(), "--max-body=1000000")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Second)
	defer cancel()
	readers := make([]*e2e.Client, each+1)
	for i := range readers {
		readers[i] = e2e.NewClient(s, fmt.Sprintf("reader-%d", i))
	}
	letters(ctx, t, s, readers)

	steady := paced{ctx, thin(t, s.Address)}
	receiveOver(t, steady.from, readers[each])
	served := make(chan error, 1)
	go func() {
		response, err := http.ReadResponse(bufio.NewReader(steady), nil)
		if err != nil {
			served <- err
			return
		}
		defer response.Body.Close()
		_, err = io.Copy(io.Discard, response.Body)
		served <- err
	}()
	var stuck, dawdling []net.Conn
	for _, reader := range readers[:each] {
		c := thin(t, s.Address)
		receiveOver(t, c, reader)
		stuck = append(stuck, c)
	}
	for range each {
		c := thin(t, s.Address)
		dawdling = append(dawdling, c)
		go func() { // until the server has had enough
			for _, letter := range "GET /v1/status HTTP/1.1\r\nHost: x\r\nX-Padding: " + strings.Repeat("z", 1000) {
				if _, err := io.WriteString(c, string(letter)); err != nil || e2e.Pause(ctx, 100*time.Millisecond) != nil {
					return
				}
			}
		}()
	}
	began := time.Now()

	// Meanwhile, for everybody else.
	p := e2e.NewPairs(s, 1)[0]
	if err := p.Meet(ctx); err != nil {
		t.Fatal(err)
	}
	var took []time.Duration
	for i := range 40 {
		start := time.Now()
		if _, err := p[0].Command(ctx, http.MethodPost, "/v1/mailboxes/"+p[0].Mailbox+"/messages", p[0].Message(i)); err != nil {
			t.Fatal(err)
		}
		if err := p[1].Listen(ctx, func(f e2e.Frame) (bool, error) { return f.Type == "message", nil }); err != nil {
			t.Fatal(err)
		}
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	if worst := took[len(took)-1]; worst > 2*time.Second {
		t.Errorf("beside slow clients, a message took %v", worst)
	}

	// The server ends it with all of them. Those who do not read cannot know when, as they would have to read.
	if err := e2e.Pause(ctx, time.Until(began.Add(patience+2*time.Second))); err != nil {
		t.Fatal(err)
	}
	for i, c := range append(stuck, dawdling...) {
		_ = c.SetReadDeadline(time.Now().Add(20 * time.Second)) // it is a TCP connection, which can
		got, err := io.ReadAll(c)
		if err != nil && !errors.Is(err, syscall.ECONNRESET) {
			t.Fatalf("slow client %d is not let go: %v", i, err)
		}
		if len(got) > 380<<10 {
			t.Errorf("a client that did not read was given it all, %d bytes: nobody had to wait", len(got))
		}
	}
	gone := time.Since(began)
	if err := <-served; err != nil {
		t.Errorf("a client that reads slowly was not served to the end: %v", err)
	}
	// And then the same is there for them, as ever.
	if err := e2e.AtOnce(readers, func(c *e2e.Client) error {
		return c.Listen(ctx, func(f e2e.Frame) (bool, error) { return f.Type == "message", nil })
	}); err != nil {
		t.Error(err)
	}
	t.Logf("beside %d that do not read and %d that do not finish asking: a message took %v (median), %v (worst); all of them were let go within %v",
		each, each, took[len(took)/2], took[len(took)-1], gone.Round(time.Millisecond))
}
