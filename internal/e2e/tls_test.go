package e2e_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"restante/internal/e2e"
	"restante/internal/testclient"
)

// encrypted is a server with an address with TLS beside the one without.
type encrypted struct {
	*e2e.Server
	address   string
	cert, key string
	roots     atomic.Pointer[x509.CertPool] // every certificate that it has had
	serial    *big.Int                      // of the last one
}

func serveEncrypted(t *testing.T, flags ...string) *encrypted {
	t.Helper()
	dir := t.TempDir()
	s := &encrypted{address: e2e.FreeAddress(t), cert: filepath.Join(dir, "cert.pem"), key: filepath.Join(dir, "key.pem")}
	s.roots.Store(x509.NewCertPool())
	s.replace(t)
	s.Server = e2e.Serve(t, append([]string{"--tls-listen=" + s.address, "--tls-cert=" + s.cert, "--tls-key=" + s.key}, flags...)...)
	return s
}

// replace gives it another certificate.
func (s *encrypted) replace(t *testing.T) {
	t.Helper()
	made := e2e.WriteCertificate(t, s.cert, s.key)
	roots := s.roots.Load().Clone() // clients are reading the one that there is
	roots.AddCert(made)
	s.roots.Store(roots)
	s.serial = made.SerialNumber
}

// config has clients verify the server by the certificates that it has had when they connect.
func (s *encrypted) config() *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		InsecureSkipVerify: true, // VerifyConnection does it
		VerifyConnection: func(with tls.ConnectionState) error {
			host, _, err := net.SplitHostPort(s.address)
			if err != nil {
				return err
			}
			_, err = with.PeerCertificates[0].Verify(x509.VerifyOptions{DNSName: host, Roots: s.roots.Load()})
			return err
		},
	}
}

// presents holds that a new connection is presented the last certificate.
func (s *encrypted) presents(t *testing.T) {
	t.Helper()
	conn, err := (&tls.Dialer{Config: s.config()}).DialContext(t.Context(), "tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if got := conn.(*tls.Conn).ConnectionState().PeerCertificates[0].SerialNumber; got.Cmp(s.serial) != 0 {
		t.Errorf("it presents certificate %v, want %v", got, s.serial)
	}
}

// over has all requests go to the address with TLS, in a version of HTTP.
type over struct {
	s     *encrypted
	via   *http.Transport
	major int
	t     *testing.T
}

func newOver(t *testing.T, s *encrypted, major int) *over {
	t.Helper()
	via := &http.Transport{TLSClientConfig: s.config(), MaxIdleConnsPerHost: 8, Protocols: new(http.Protocols)}
	via.Protocols.SetHTTP1(major == 1)
	via.Protocols.SetHTTP2(major == 2)
	return &over{s, via, major, t}
}

// RoundTrip implements http.RoundTripper.
func (o *over) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.URL.Scheme, r.URL.Host, r.Host = "https", o.s.address, ""
	response, err := o.via.RoundTrip(r)
	if err == nil && response.ProtoMajor != o.major {
		o.t.Errorf("it speaks %s", response.Proto)
	}
	return response, err
}

// CloseIdleConnections is what [http.Client.CloseIdleConnections] calls.
func (o *over) CloseIdleConnections() { o.via.CloseIdleConnections() }

// TestTLSConversations has sessions talk over TLS, by polls that wait, while the certificate is replaced, by its files
// and by SIGHUP, and the server is stopped and started again.
func TestTLSConversations(t *testing.T) {
	t.Parallel()
	for name, major := range map[string]int{"HTTP/1.1": 1, "HTTP/2": 2} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serveEncrypted(t, "--drain=100ms")
			ctx := e2e.Context(t)
			pairs := e2e.NewPairs(s.Server, 4)
			for _, p := range pairs {
				for _, m := range p {
					m.HTTP = &http.Client{Transport: newOver(t, s, major)}
					t.Cleanup(m.HTTP.CloseIdleConnections)
				}
			}
			talk := e2e.StartConversation(ctx, pairs)
			more := func(what string) {
				t.Helper()
				said := talk.Said()
				e2e.Eventually(t, "they go on talking "+what, func() bool {
					talk.MustGoOn(t)
					return talk.Said() > said+40
				})
			}
			more("over TLS")
			s.presents(t)
			s.replace(t)
			s.presents(t)
			more("while the certificate is replaced")
			s.Signal(syscall.SIGHUP)
			more("while it is read again")
			s.Signal(syscall.SIGTERM)
			if code := s.Wait(); code != 0 {
				t.Errorf("exit code %d", code)
			}
			s.Start()
			more("after a restart")
			talk.End(ctx, t)
		})
	}
}

// TestTLSPollsWait holds a poll over TLS that waits for long: it is answered when there is something, its client that leaves is
// noticed, and a stop answers it.
func TestTLSPollsWait(t *testing.T) {
	t.Parallel()
	for name, major := range map[string]int{"HTTP/1.1": 1, "HTTP/2": 2} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serveEncrypted(t, "--drain=100ms", "--heartbeat-interval=1h")
			pair := e2e.NewPairs(s.Server, 1)[0]
			for _, m := range pair {
				m.HTTP = &http.Client{Transport: newOver(t, s, major)}
				t.Cleanup(m.HTTP.CloseIdleConnections)
			}
			if err := pair.Meet(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := pair[0].Listen(t.Context(), func(f testclient.Frame) (bool, error) { return f.Type == "opened", nil }); err != nil {
				t.Fatal(err)
			}
			poll := func(ctx context.Context) <-chan testclient.Answer {
				s.WaitPolls(0) // the one before is held for a moment after it was answered
				came := make(chan testclient.Answer, 1)
				go func() {
					a, _ := pair[0].Poll(ctx) // one that is hung up has no answer
					came <- a
				}()
				s.WaitPolls(1)
				return came
			}
			leaving, leave := context.WithCancel(t.Context())
			left := poll(leaving)
			leave()
			<-left
			waiting := poll(t.Context())
			if _, err := pair[1].Command(t.Context(), http.MethodPost, "/v1/mailboxes/"+pair[1].Mailbox+"/messages", map[string]string{"phase": "p", "body": "late mail"}); err != nil {
				t.Fatal(err)
			}
			if a := <-waiting; !strings.Contains(string(a.Body), "late mail") {
				t.Errorf("the poll: %d %s", a.Status, a.Body)
			}
			pair[0].Process(pair[0].Wanted())
			waiting = poll(t.Context())
			s.Signal(syscall.SIGTERM)
			if a := <-waiting; !strings.Contains(string(a.Body), `"heartbeat":true`) {
				t.Errorf("the poll at a stop: %d %s", a.Status, a.Body)
			}
			if code := s.Wait(); code != 0 {
				t.Errorf("exit code %d", code)
			}
		})
	}
}

// TestTLSWormhole has two wormhole sockets over TLS fall asleep, and one wake the other.
func TestTLSWormhole(t *testing.T) {
	t.Parallel()
	s := serveEncrypted(t)
	dialer := &websocket.Dialer{TLSClientConfig: s.config(), HandshakeTimeout: e2e.Limit}
	join := func(side string) *websocket.Conn {
		t.Helper()
		conn, response, err := dialer.Dial("wss://"+s.address+"/v1", nil)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		t.Cleanup(func() { _ = conn.Close() })
		_ = conn.SetReadDeadline(time.Now().Add(e2e.Limit))
		for _, said := range []string{`{"type":"bind","appid":"example.org/e2e","side":"` + side + `"}`, `{"type":"open","mailbox":"m"}`, `{"type":"ping","ping":1}`} {
			if err := conn.WriteMessage(websocket.TextMessage, []byte(said)); err != nil {
				t.Fatal(err)
			}
		}
		hear(t, conn, `"pong"`)
		return conn
	}
	one, other := join("one"), join("other")
	if err := testclient.Pause(t.Context(), 300*time.Millisecond); err != nil { // longer than a socket lingers
		t.Fatal(err)
	}
	s.replace(t)
	s.presents(t)
	for _, body := range []string{"first", "second"} {
		if err := one.WriteMessage(websocket.TextMessage, []byte(`{"type":"add","phase":"`+body+`","body":"`+body+`"}`)); err != nil {
			t.Fatal(err)
		}
		hear(t, other, `"`+body+`"`)
		if err := testclient.Pause(t.Context(), 300*time.Millisecond); err != nil {
			t.Fatal(err)
		}
	}
	s.Signal(syscall.SIGTERM)
	for _, conn := range []*websocket.Conn{one, other} {
		for {
			_, _, err := conn.ReadMessage()
			if websocket.IsCloseError(err, websocket.CloseGoingAway) {
				break
			}
			if err != nil {
				t.Fatalf("a stop ends the socket with %v", err)
			}
		}
	}
	if code := s.Wait(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// hear reads until a message has this in it.
func hear(t *testing.T, conn *websocket.Conn, part string) {
	t.Helper()
	for {
		_, raw, err := conn.ReadMessage()
		if err != nil {
			t.Fatalf("waiting for %s: %v", part, err)
		}
		if strings.Contains(string(raw), part) {
			return
		}
	}
}
