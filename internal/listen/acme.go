package listen

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/acme"
	"golang.org/x/crypto/acme/autocert"
)

// ACMEConfig says for which names a certificate is asked of which certificate authority (RFC 8555).
type ACMEConfig struct {
	Domains   []string // the names; each gets a certificate of its own
	Cache     string   // the directory for keys and certificates; servers that share it share certificates
	Directory string   // the authority's URL; "" is Let's Encrypt
	CAFile    string   // PEM: the authorities that may have signed the certificate of that URL; "" is the system's list
	Email     string   // told to the authority, which may write about problems; may be ""
}

// ACME obtains and renews certificates. Obtaining one agrees to the authority's terms of service.
type ACME struct {
	domains []string
	log     *slog.Logger
	manager *autocert.Manager

	mu     sync.Mutex
	logged map[string]time.Time // when a failure was logged last
	warned map[string]time.Time // when a late renewal was logged last
}

// logAgain is how long the same failure is not logged again, and warnAgain a renewal that is late: the manager tries at
// most twice in that time.
const logAgain, warnAgain = time.Minute, time.Hour

// errForeign is a name that was never asked for.
var errForeign = errors.New("no certificate is obtained for this name")

// NewACME makes an ACME. Nothing is asked of the authority yet.
func NewACME(c ACMEConfig, log *slog.Logger) (*ACME, error) {
	a := &ACME{log: log, logged: map[string]time.Time{}, warned: map[string]time.Time{}}
	for _, domain := range c.Domains {
		domain = ascii(domain)
		if !strings.Contains(domain, ".") || strings.ContainsAny(domain, "*/: ") {
			return nil, fmt.Errorf("%q is no name for which a certificate can be obtained: write relay.example.org", domain)
		}
		a.domains = append(a.domains, domain)
	}
	client := &acme.Client{DirectoryURL: c.Directory}
	if c.CAFile != "" {
		roots, err := Roots(c.CAFile)
		if err != nil {
			return nil, err
		}
		client.HTTPClient = &http.Client{Timeout: time.Minute, Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, ForceAttemptHTTP2: true,
		}}
	}
	a.manager = &autocert.Manager{
		Prompt: autocert.AcceptTOS, Cache: autocert.DirCache(c.Cache), Client: client, Email: c.Email,
		HostPolicy: func(_ context.Context, host string) error {
			if name, _, err := net.SplitHostPort(host); err == nil {
				host = name // of a challenge over HTTP on a port other than 80
			}
			if !slices.Contains(a.domains, ascii(host)) {
				return errForeign
			}
			return nil
		},
	}
	return a, nil
}

// ascii returns a name as it is compared. Names in other letters are given as browsers send them (xn--…).
func ascii(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }

// Roots reads the certificates of authorities from a PEM file.
func Roots(file string) (*x509.CertPool, error) {
	text, err := os.ReadFile(file) // #nosec G304 -- the operator names it
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s holds no certificate in PEM", file)
	}
	return roots, nil
}

// TLS returns the configuration of a server that presents the certificates, and answers the authority's challenges
// over TLS (RFC 8737).
func (a *ACME) TLS() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: append(protocols(), acme.ALPNProto),
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			found, err := a.manager.GetCertificate(hello)
			name, challenged := ascii(hello.ServerName), slices.Contains(hello.SupportedProtos, acme.ALPNProto)
			if challenged || !slices.Contains(a.domains, name) { // that is a stranger's business
				return found, err
			}
			if err != nil {
				a.fail(name, err)
			} else if late(found.Leaf, time.Now()) {
				a.warn(name, found.Leaf.NotAfter)
			}
			return found, err
		},
	}
}

// challengePath begins the paths on which the authority asks.
const challengePath = "/.well-known/acme-challenge/"

// Handler answers the authority's challenges over plain HTTP (RFC 8555, §8.3), and passes everything else on, also requests
// for challenges that there are not. The authority asks on port 80.
func (a *ACME) Handler(next http.Handler) http.Handler {
	challenges := a.manager.HTTPHandler(nil)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, challengePath) {
			var found challengeAnswer
			if challenges.ServeHTTP(&found, r); !found.failed {
				_, _ = w.Write(found.body) // at worst, the authority has left
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// challengeAnswer takes in what the manager answers.
type challengeAnswer struct {
	failed bool
	body   []byte
}

// Header implements [http.ResponseWriter].
func (a *challengeAnswer) Header() http.Header { return http.Header{} }

// WriteHeader implements [http.ResponseWriter]. The manager calls it only for failures.
func (a *challengeAnswer) WriteHeader(int) { a.failed = true }

// Write implements [http.ResponseWriter].
func (a *challengeAnswer) Write(b []byte) (int, error) {
	a.body = append(a.body, b...)
	return len(b), nil
}

// Obtain obtains the certificates that are not in the cache, in the background, so that the first client does not wait for
// them and what goes wrong is logged early. The challenges must be answered from then on.
func (a *ACME) Obtain() {
	for _, domain := range a.domains {
		go func() {
			found, err := a.manager.GetCertificate(&tls.ClientHelloInfo{ // of a client that takes a key on a curve
				ServerName: domain, SignatureSchemes: []tls.SignatureScheme{tls.ECDSAWithP256AndSHA256},
				SupportedCurves: []tls.CurveID{tls.CurveP256}, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256},
			})
			if err != nil {
				a.fail(domain, err)
				return
			}
			a.log.Info("there is a certificate", "name", domain, "until", found.Leaf.NotAfter)
		}()
	}
}

// fail logs that there is no certificate. A failure comes with each handshake until it is over, and is logged once a minute.
func (a *ACME) fail(domain string, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	if last, known := a.logged[domain]; known && now.Sub(last) < logAgain {
		return
	}
	a.logged[domain] = now // a name of ours: there are few
	a.log.Error("there is no certificate", "name", domain, "error", err)
}

// late reports whether a certificate should have been renewed for some time. The manager begins when a third of its life is
// left, but not more than 30 days before its end, and keeps to itself why that fails.
func late(leaf *x509.Certificate, now time.Time) bool {
	renewing := min(leaf.NotAfter.Sub(leaf.NotBefore)/3, 30*24*time.Hour)
	return leaf.NotAfter.Sub(now) < renewing*3/4
}

// warn logs that a certificate is not renewed, once an hour.
func (a *ACME) warn(domain string, until time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	if last, known := a.warned[domain]; known && now.Sub(last) < warnAgain {
		return
	}
	a.warned[domain] = now
	a.log.Warn("the certificate should have been renewed", "name", domain, "until", until,
		"do", "see that this server reaches the authority, that the authority reaches it by this name, on port 443 or 80, and that --acme-cache can be written")
}
