package page_test

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/chromedp/chromedp"

	"restante/internal/e2e"
)

// domain is a name that a certificate authority, a browser and a wormhole client find on this machine.
const domain = "page.test"

// resolves has Python find the domain: a client whose library asks for names in its own way cannot be told by a flag.
const resolves = `
import socket
ask = socket.getaddrinfo
socket.getaddrinfo = lambda host, *more, **named: ask("127.0.0.1" if host == "` + domain + `" else host, *more, **named)
`

// named is a server with a certificate for the domain.
type named struct {
	*e2e.Server
	address string // with TLS
	pebble  *e2e.Pebble
}

// newNamed prepares one that obtains its certificate. The authority asks on the address with TLS, or, if there is
// nothing on the one that it is told, on the plain one.
func newNamed(t *testing.T, overTLS bool, flags ...string) *named {
	t.Helper()
	s := &named{Server: e2e.NewServer(t, "--log-level=debug"), address: e2e.FreeAddress(t)}
	asked := s.address
	if !overTLS {
		asked = e2e.FreeAddress(t)
	}
	s.pebble = e2e.StartPebble(t, s.Address, asked)
	s.Flags = append(s.Flags, append([]string{"--tls-listen=" + s.address, "--allowed-hosts=127.0.0.1," + domain, "--drain=100ms"}, flags...)...)
	return s
}

// port is that of the address with TLS.
func (s *named) port(t *testing.T) string {
	t.Helper()
	_, port, err := net.SplitHostPort(s.address)
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// obtain runs the server until it has a certificate in an empty directory, and returns the certificate and the file
// of it and its key.
func (s *named) obtain(t *testing.T) (cert *x509.Certificate, file string) {
	t.Helper()
	cache, flags := filepath.Join(t.TempDir(), "acme"), s.Flags
	defer func() { s.Flags = flags }()
	s.Flags = append(s.Flags, "--acme-domain="+domain, "--acme-directory="+s.pebble.Directory, "--acme-ca="+s.pebble.CAFile, "--acme-cache="+cache)
	s.Start()
	s.WaitReady()
	e2e.Eventually(t, "there is a certificate", func() bool { return s.Logged("there is a certificate") })
	cert = s.presented(t)
	s.Signal(syscall.SIGTERM)
	s.Wait()
	s.Start() // which finds it
	s.WaitReady()
	if again := s.presented(t); !again.Equal(cert) {
		t.Error("a certificate is obtained, though there is one")
	}
	s.Signal(syscall.SIGTERM)
	s.Wait()
	return cert, filepath.Join(cache, domain)
}

// presented is the certificate that a new connection is presented, from an authority that is trusted.
func (s *named) presented(t *testing.T) *x509.Certificate {
	t.Helper()
	roots := x509.NewCertPool()
	text, err := os.ReadFile(s.pebble.RootFile)
	if err != nil || !roots.AppendCertsFromPEM(text) {
		t.Fatalf("the authority's root: %v", err)
	}
	dialer := &tls.Dialer{Config: &tls.Config{RootCAs: roots, ServerName: domain, NextProtos: []string{"h2"}, MinVersion: tls.VersionTLS12}}
	conn, err := dialer.DialContext(t.Context(), "tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	state := conn.(*tls.Conn).ConnectionState()
	if state.NegotiatedProtocol != "h2" {
		t.Errorf("it speaks %q", state.NegotiatedProtocol)
	}
	return state.PeerCertificates[0]
}

// wormhole has a person run the Python client against the address with TLS.
func (s *named) wormhole(t *testing.T, arguments ...string) *e2e.Person {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "sitecustomize.py"), []byte(resolves), 0o600); err != nil {
		t.Fatal(err)
	}
	return e2e.RunProgram(t, "env", append([]string{
		"PYTHONPATH=" + dir, "SSL_CERT_FILE=" + s.pebble.RootFile,
		e2e.Python, "--relay-url", "wss://" + domain + ":" + s.port(t) + "/v1", "--transit-helper", "",
	}, arguments...)...)
}

// TestCertificateIsObtained has a server obtain a certificate by both kinds of challenges.
func TestCertificateIsObtained(t *testing.T) {
	t.Parallel()
	for name, overTLS := range map[string]bool{"over TLS": true, "over HTTP": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newNamed(t, overTLS)
			if cert, _ := s.obtain(t); cert.VerifyHostname(domain) != nil {
				t.Errorf("the certificate is for %q", cert.DNSNames)
			}
		})
	}
}

// TestPageAndWormholeOverTLS has a person with a browser and one with a wormhole client exchange notes over https and wss, with
// a certificate of an authority, which is replaced by another one between the first word and the last.
func TestPageAndWormholeOverTLS(t *testing.T) {
	t.Parallel()
	s := newNamed(t, true)
	first, firstFile := s.obtain(t)
	second, secondFile := s.obtain(t)
	if first.Equal(second) {
		t.Fatal("this shows nothing: there is one certificate")
	}
	live := filepath.Join(t.TempDir(), "live.pem")
	install := func(file string) {
		t.Helper()
		text, err := os.ReadFile(file)
		if err == nil {
			err = os.WriteFile(live+".new", text, 0o600)
		}
		if err == nil {
			err = os.Rename(live+".new", live)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	install(firstFile)
	s.Flags = append(s.Flags, "--tls-cert="+live, "--tls-key="+live)
	s.Start()
	s.WaitReady()

	spki := sha256.Sum256(s.pebble.Intermediate().RawSubjectPublicKeyInfo)
	b := newBrowser(t, "", chromedp.Flag("ignore-certificate-errors-spki-list", base64.StdEncoding.EncodeToString(spki[:])))
	ada := b.visits("https://"+domain+":"+s.port(t), "/")
	if !look[bool](ada.tab, "isSecureContext") {
		t.Error("the page is not trusted")
	}
	if protocol := look[string](ada.tab, "performance.getEntriesByType('navigation')[0].nextHopProtocol"); protocol != "h2" {
		t.Errorf("the page came by %q", protocol)
	}
	to := s.wormhole(t, "receive", ada.writes("mail of the page"))
	from := s.wormhole(t, "send", "--text", "mail of the terminal")
	code := from.WaitCode()
	to.MustSucceed("mail of the page")
	cleo := b.visits("https://"+domain+":"+s.port(t), "/")
	waits := cleo.writes("mail that waits")
	e2e.Eventually(t, "the page has a wss socket", func() bool { return s.upgrades("/v1/session/socket") > 0 })
	if got := s.presented(t); !got.Equal(first) {
		t.Error("it does not present the first certificate")
	}
	install(secondFile)
	if got := s.presented(t); !got.Equal(second) {
		t.Error("it does not present the second certificate")
	}
	bob := b.visits("https://"+domain+":"+s.port(t), "/")
	bob.reads(code)
	bob.has("mail of the terminal")
	from.MustSucceed("text message sent")
	s.wormhole(t, "receive", waits).MustSucceed("mail that waits") // over the socket that was there before
	cleo.has("mail that waits")
	if upgrades := s.upgrades("/v1"); upgrades != 3 {
		t.Errorf("the three wormhole clients connected %d times", upgrades)
	}
	if !strings.Contains(s.Output.Latest(), "read the certificate again") {
		t.Error("that the certificate was replaced is not logged")
	}
	tellsNothing(t, s.Server, "mail of the page", "mail of the terminal", "mail that waits")
}

// upgrades is how many sockets were opened at a path.
func (s *named) upgrades(route string) int {
	return strings.Count(s.Output.Latest(), `"route":"`+route+`","status":101`)
}
