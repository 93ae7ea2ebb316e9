package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"strconv"
	"strings"

	"restante/handlers"
	"restante/internal/listen"
)

// Listening is where and how clients reach the server.
type Listening struct {
	Listen        []string `group:"Where" default:":4000" placeholder:"ADDR" help:"Address to listen on without TLS: :4000, 127.0.0.1:4000, [::]:4000, unix:/path, systemd: for the sockets that systemd passes, systemd:NAME for those of a name, or none. Repeat for more (${default})."`
	TLSListen     []string `group:"Where" name:"tls-listen" placeholder:"ADDR" help:"Address to listen on with TLS, beside those of --listen and in the same forms; :443 if there is a certificate."`
	SocketMode    string   `group:"Where" default:"0660" placeholder:"MODE" help:"Permissions of the sockets of unix:/path, in octal (${default})."`
	TLSCert       string   `group:"Where" name:"tls-cert" placeholder:"FILE" help:"The certificate for TLS with its chain, in PEM. It is read again when it changes, and at SIGHUP."`
	TLSKey        string   `group:"Where" name:"tls-key" placeholder:"FILE" help:"Its private key, in PEM."`
	ACMEDomain    []string `group:"Where" name:"acme-domain" placeholder:"NAME" help:"Obtain and renew a certificate for this name from a certificate authority, and so agree to its terms of service. Repeat for more."`
	ACMEDirectory string   `group:"Where" name:"acme-directory" default:"https://acme-v02.api.letsencrypt.org/directory" placeholder:"URL" help:"The authority (${default})."`
	ACMECA        string   `group:"Where" name:"acme-ca" placeholder:"FILE" help:"The authority that signed the certificate of that URL, in PEM; by default, the system's list of authorities."`
	ACMECache     string   `group:"Where" name:"acme-cache" placeholder:"DIR" help:"Where keys and certificates are kept; by default, beside the SQLite file, with -acme at the end of its name."`
	ACMEEmail     string   `group:"Where" name:"acme-email" placeholder:"ADDRESS" help:"Where the authority may write to about problems."`
	H2C           bool     `group:"Where" name:"h2c" env:"RESTANTE_H2C" help:"Take HTTP/2 without TLS, which a proxy may speak."`
	AllowedHosts  []string `group:"Where" placeholder:"HOST" help:"Hosts that requests may be for, without ports: relay.example.org, *.example.org, or * for all. By default all; but if only loopback addresses are listened on and there are no --trusted-proxies, IP addresses and names without a dot."`
}

// validateListening refuses what cannot be listened on.
func (c *Config) validateListening() error {
	_, badMode := c.socketMode()
	badAddress := listen.Check(c.Listen, c.secureAddresses())
	switch files := c.TLSCert != "" || c.TLSKey != ""; {
	case badAddress != nil:
		return fmt.Errorf("--listen, --tls-listen: %w", badAddress)
	case badMode != nil:
		return badMode
	case files && (c.TLSCert == "" || c.TLSKey == ""):
		return errors.New("--tls-cert and --tls-key come together")
	case files && len(c.ACMEDomain) > 0:
		return errors.New("there is --tls-cert, and there is --acme-domain; a certificate comes from one of them")
	case !files && len(c.ACMEDomain) == 0 && len(c.TLSListen) > 0:
		return errors.New("--tls-listen needs a certificate: --tls-cert and --tls-key, or --acme-domain")
	case len(c.ACMEDomain) > 0 && c.acmeCache() == "":
		return errors.New("--acme-domain needs --acme-cache, a directory that the servers of this database share")
	}
	for _, host := range c.AllowedHosts {
		if err := handlers.CheckHost(host); err != nil {
			return fmt.Errorf("--allowed-hosts %q: %w", host, err)
		}
	}
	return nil
}

func (c *Config) socketMode() (fs.FileMode, error) {
	mode, err := strconv.ParseUint(c.SocketMode, 8, 32)
	if err != nil || mode == 0 || mode > 0o777 {
		return 0, fmt.Errorf("--socket-mode %q: write it in octal, as 0660", c.SocketMode)
	}
	return fs.FileMode(mode), nil
}

func (c *Config) secureAddresses() []string {
	if len(c.TLSListen) == 0 && (c.TLSCert != "" || len(c.ACMEDomain) > 0) {
		return []string{":443"}
	}
	return c.TLSListen
}

// acmeCache returns where certificates are kept, or "" if that has to be said.
func (c *Config) acmeCache() string {
	if c.ACMECache == "" && !strings.Contains(c.Database, "://") {
		return strings.TrimPrefix(c.Database, "sqlite:") + "-acme"
	}
	return c.ACMECache
}

// reach is what is listened on, and the certificates of it.
type reach struct {
	*listen.Listeners

	keyPair *listen.KeyPair // nil without --tls-cert
	acme    *listen.ACME    // nil without --acme-domain
}

// open listens.
func (c *Config) open(ctx context.Context, budget *listen.Budget, passed *listen.Passed) (*reach, error) {
	log := budget.Log
	r := &reach{}
	var secure *tls.Config
	var err error
	switch {
	case len(c.ACMEDomain) > 0:
		if r.acme, err = listen.NewACME(listen.ACMEConfig{
			Domains: c.ACMEDomain, Cache: c.acmeCache(), Directory: c.ACMEDirectory, CAFile: c.ACMECA, Email: c.ACMEEmail,
		}, log); err != nil {
			return nil, fmt.Errorf("--acme-domain: %w", err)
		}
		secure = r.acme.TLS()
	case c.TLSCert != "":
		if r.keyPair, err = listen.NewKeyPair(c.TLSCert, c.TLSKey, log); err != nil {
			return nil, fmt.Errorf("--tls-cert: %w", err)
		}
		secure = r.keyPair.TLS()
	}
	mode, err := c.socketMode()
	if err != nil {
		return nil, err
	}
	r.Listeners, err = listen.Open(ctx, listen.Config{Plain: c.Listen, Secure: c.secureAddresses(), TLS: secure, SocketMode: mode, Budget: budget, Passed: passed})
	if err != nil {
		return nil, fmt.Errorf("--listen, --tls-listen: %w", err)
	}
	return r, nil
}

// protocols are the versions of HTTP that are spoken.
func (c *Config) protocols() *http.Protocols {
	spoken := new(http.Protocols)
	spoken.SetHTTP1(true)
	spoken.SetHTTP2(true)
	spoken.SetUnencryptedHTTP2(c.H2C)
	return spoken
}

// hosts returns the hosts that requests may be for; none stands for all.
func (c *Config) hosts(r *reach) []string {
	if len(c.AllowedHosts) == 0 && r.Loopback() && len(c.TrustedProxies) == 0 {
		return []string{handlers.NoDomain}
	}
	return c.AllowedHosts
}

// handler adds to what is served what a certificate authority asks for.
func (r *reach) handler(next http.Handler) http.Handler {
	if r.acme == nil {
		return next
	}
	return r.acme.Handler(next)
}

// obtain obtains certificates, if that is how they are had. Everything must be served by then.
func (r *reach) obtain() {
	if r.acme != nil {
		r.acme.Obtain()
	}
}

// reload reads the certificate again.
func (r *reach) reload() {
	if r.keyPair != nil {
		r.keyPair.Reload()
	}
}

// warn says loudly what an operator may not have meant.
func (c *Config) warn(r *reach, log *slog.Logger) {
	if r.Public() && !r.Secure() && len(c.TrustedProxies) == 0 {
		log.Warn("other machines can connect, and nothing is encrypted: session ids and messages can be read on their way",
			"do", "use --tls-cert or --acme-domain; or put a proxy with TLS in front, name it in --trusted-proxies, and listen on 127.0.0.1 or a Unix socket")
	}
	if os.Geteuid() == 0 {
		log.Warn("the server runs as root, and needs no such rights", "do", "run it as a user of its own; ports below 1024 need only CAP_NET_BIND_SERVICE, or systemd's socket activation")
	}
}
