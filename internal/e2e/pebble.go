package e2e

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"restante/internal/testclient"
)

// Pebble is a certificate authority that speaks ACME, the one with which Let's Encrypt has clients tested. To it, every
// name is 127.0.0.1.
type Pebble struct {
	Directory string // its URL
	CAFile    string // the authority of the certificate of that URL, in PEM
	RootFile  string // the root of the certificates that it issues, in PEM

	t          *testing.T
	client     *http.Client
	management string
}

// StartPebble starts an authority that asks whether a server has a name on these addresses, by HTTP and by TLS.
func StartPebble(t *testing.T, plain, secure string) *Pebble {
	t.Helper()
	dir := t.TempDir()
	cert, key, config := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"), filepath.Join(dir, "config.json")
	roots := x509.NewCertPool()
	roots.AddCert(WriteCertificate(t, cert, key))
	address, management, names := FreeAddress(t), FreeAddress(t), FreeAddress(t)
	text, err := json.Marshal(map[string]any{"pebble": map[string]any{
		"listenAddress": address, "managementListenAddress": management, "certificate": cert, "privateKey": key,
		"httpPort": portOf(t, plain), "tlsPort": portOf(t, secure), "retryAfter": map[string]int{"authz": 1, "order": 1},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(config, text, 0o600); err != nil {
		t.Fatal(err)
	}
	resolver := RunProgram(t, pebbleTool(t, "pebble-challtestsrv"), "-dnsserver", names, "-management", FreeAddress(t),
		"-defaultIPv4", "127.0.0.1", "-defaultIPv6", "", "-http01", "", "-https01", "", "-tlsalpn01", "", "-doh", "")
	resolver.WaitFor("Starting management server")
	authority := RunProgram(t, "env", "PEBBLE_VA_NOSLEEP=1", pebbleTool(t, "pebble"), "-config", config, "-dnsserver", names)
	authority.WaitFor("ACME directory available")
	p := &Pebble{
		Directory: "https://" + address + "/dir", CAFile: cert, RootFile: filepath.Join(dir, "root.pem"), t: t, management: management,
		client: &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}},
	}
	t.Cleanup(p.client.CloseIdleConnections)
	Eventually(t, "the authority answers", func() bool {
		a, err := testclient.Exchange(t.Context(), p.client, http.MethodGet, p.Directory, nil, "")
		return err == nil && a.Status == http.StatusOK
	})
	if err := os.WriteFile(p.RootFile, p.ask("/roots/0"), 0o600); err != nil {
		t.Fatal(err)
	}
	return p
}

// Intermediate returns the certificate that stands between the root and what is issued.
func (p *Pebble) Intermediate() *x509.Certificate {
	p.t.Helper()
	block, _ := pem.Decode(p.ask("/intermediates/0"))
	if block == nil {
		p.t.Fatal("the authority has no intermediate certificate")
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		p.t.Fatal(err)
	}
	return cert
}

// ask asks the interface that is there for tests.
func (p *Pebble) ask(path string) []byte {
	p.t.Helper()
	a, err := testclient.Exchange(p.t.Context(), p.client, http.MethodGet, "https://"+p.management+path, nil, "")
	if err != nil || a.Status != http.StatusOK {
		p.t.Fatalf("%s: %d %v", path, a.Status, err)
	}
	return a.Body
}

// pebbleTool returns where a program of Pebble is, which is built at the first call.
func pebbleTool(t *testing.T, name string) string {
	t.Helper()
	find := exec.CommandContext(t.Context(), "go", "tool", "-modfile=.ci/pebble.mod", "-n", name)
	find.Dir = moduleDir()
	path, err := find.Output()
	if err != nil {
		t.Fatalf("%s cannot be built: %v", name, err)
	}
	return strings.TrimSpace(string(path))
}

func portOf(t *testing.T, address string) int {
	t.Helper()
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
