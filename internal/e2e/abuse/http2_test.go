package abuse_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"restante/internal/e2e"
)

// TestSlowReadersOverHTTP2 has a client ask over HTTP/2 for more than it lets the server send, and read nothing: its
// stream is ended, the log has its address, and others are served, also on the same connection.
func TestSlowReadersOverHTTP2(t *testing.T) {
	t.Parallel()
	dir, address := t.TempDir(), e2e.FreeAddress(t)
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	roots := x509.NewCertPool()
	roots.AddCert(e2e.WriteCertificate(t, cert, key))
	s := serve(t, "--slow-reader=1s", "--max-body=1000000", "--tls-listen="+address, "--tls-cert="+cert, "--tls-key="+key)
	for n, tt := range []struct{ name, path, accept string }{
		{"log", "/v1/mailboxes/large/messages?after=0", "application/json"},
		{"poll", "/v1/session/events?ack=1", "application/json"},
		{"stream", "/v1/session/events?ack=0", "text/event-stream"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			via := &http.Transport{
				TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots}, Protocols: new(http.Protocols),
				HTTP2: &http.HTTP2Config{MaxReceiveBufferPerStream: 16 << 10},
			}
			via.Protocols.SetHTTP2(true)
			t.Cleanup(via.CloseIdleConnections)
			c := &client{server: s, address: fmt.Sprintf("203.0.113.%d", n+1), app: "http2 " + tt.name}
			credentials := c.begin(t.Context())
			if a := c.ask(t.Context(), http.MethodPut, "/v1/mailboxes/large", credentials, ""); a.Status != http.StatusOK {
				t.Fatalf("it cannot open the mailbox: %d %s", a.Status, a.Body)
			}
			letter := `{"phase":"p","body":"` + strings.Repeat(`\u0001`, 64<<10) + `"}` // six times as long as its bytes
			if a := c.ask(t.Context(), http.MethodPost, "/v1/mailboxes/large/messages?open=true", c.keyed("writer"), letter); a.Status != http.StatusCreated {
				t.Fatalf("the letter: %d %s", a.Status, a.Body)
			}
			get := func(path string) (status, major int) {
				t.Helper()
				r, err := http.NewRequestWithContext(context.WithoutCancel(t.Context()), http.MethodGet, "https://"+address+path, http.NoBody)
				if err != nil {
					t.Fatal(err)
				}
				r.Header = http.Header{"X-Forwarded-For": {c.address}, "Authorization": {credentials}, "Accept": {tt.accept}}
				got, err := via.RoundTrip(r)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = got.Body.Close() })
				return got.StatusCode, got.ProtoMajor
			}
			if status, major := get(tt.path); status != http.StatusOK || major != 2 {
				t.Fatalf("it is answered %d over HTTP/%d", status, major)
			}
			for pair := range meetings {
				meet(t, s, c.app, pair+meetings*n)
			}
			c.isNamed(t, []string{`"msg":"closed a connection","address":"ADDR.*"limit":"slow-reader"`})
			if status, _ := get("/livez"); status != http.StatusOK {
				t.Errorf("another request on the connection is answered %d", status)
			}
		})
	}
}
