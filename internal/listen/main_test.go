package listen_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"restante/internal/leaks"
	"restante/internal/listen"
)

func TestMain(m *testing.M) {
	if at := os.Getenv("LISTEN_TEST_PASSED"); at != "" {
		os.Exit(serveAsked(at)) // a child of a test of sockets that systemd passes
	}
	os.Exit(leaks.Run(m))
}

// open listens, and closes at the end of the test.
func open(t *testing.T, c listen.Config) *listen.Listeners {
	t.Helper()
	if c.SocketMode == 0 {
		c.SocketMode = 0o600
	}
	l, err := listen.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l
}

// connect reports whether a connection is accepted.
func connect(t *testing.T, network, address string) error {
	t.Helper()
	conn, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(t.Context(), network, address)
	if err == nil {
		_ = conn.Close()
	}
	return err
}

// writePair makes a self-signed certificate of a name, and writes it and its key to files.
func writePair(t *testing.T, name, certFile, keyFile string) {
	t.Helper()
	cert, private := makePair(t, name, time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	write(t, certFile, cert)
	write(t, keyFile, private)
}

// makePair makes a self-signed certificate of a name, and its key, in PEM.
func makePair(t *testing.T, name string, from, until time.Time) (certificate, private []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: from, NotAfter: until, IsCA: true, BasicConstraintsValid: true,
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

func write(t *testing.T, file string, text []byte) {
	t.Helper()
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// logs collects what is logged.
type logs struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logs) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logs) count(part string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytes.Count(l.text.Bytes(), []byte(part))
}

func (l *logs) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }
