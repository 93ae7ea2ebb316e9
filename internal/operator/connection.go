package operator

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"restante/internal/listen"
)

// Connection is how a command reaches a server.
type Connection struct {
	URL      string        `placeholder:"URL" help:"Where the server is: http://…, https://… or unix:/path. By default, the first address of --admin-listen, if the command has that, or of --listen."`
	Listen   []string      `default:":4000" placeholder:"ADDR" help:"What the server was given as --listen (${default})."`
	CA       string        `name:"ca" placeholder:"FILE" help:"The authority that signed the certificate of an https:// URL, in PEM; by default, the system's list of authorities."`
	Insecure bool          `help:"Take any certificate."`
	Timeout  time.Duration `default:"${timeout}" help:"How long to wait for its answer (${default})."`
}

// Admin is how a command reaches the admin side of a server, or the server itself if it has none.
type Admin struct {
	Connection

	AdminListen []string `placeholder:"ADDR" help:"What the server was given as --admin-listen."`
	AdminToken  string   `placeholder:"TOKEN" help:"What the server was given as --admin-token. Best set as RESTANTE_ADMIN_TOKEN."`
}

// maxAnswer bounds what is read of an answer, in bytes.
const maxAnswer = 64 << 20

// Refused is the answer of a server that did not answer 200.
type Refused struct {
	Status int
	Text   string
}

func (r *Refused) Error() string {
	return fmt.Sprintf("the server answers %d %s %s", r.Status, http.StatusText(r.Status), r.Text)
}

// Get asks the server for a path, and returns the body of its answer. If it does not answer 200, the error is
// [*Refused].
func (c *Connection) Get(ctx context.Context, path string) ([]byte, error) {
	return c.get(ctx, c.Listen, "", path)
}

// Get is [Connection.Get] on the admin side.
func (a *Admin) Get(ctx context.Context, path string) ([]byte, error) {
	return a.get(ctx, append(append([]string{}, a.AdminListen...), a.Listen...), a.AdminToken, path)
}

func (c *Connection) get(ctx context.Context, addresses []string, token, path string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	base, socket, err := c.target(addresses)
	if err != nil {
		return nil, err
	}
	client, err := c.client(socket)
	if err != nil {
		return nil, err
	}
	defer client.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, base+path, http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("--url: %w", err)
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close() //nolint:errcheck // only read from
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		return nil, &Refused{response.StatusCode, strings.TrimSpace(string(body[:min(len(body), 400)]))}
	}
	return body, nil
}

// target returns where the server is, as an http:// or https:// URL, and the path of its Unix socket, if that is how
// it is reached.
func (c *Connection) target(addresses []string) (base, socket string, err error) {
	at := c.URL
	for _, address := range addresses {
		if at == "" && address != listen.None && !strings.HasPrefix(address, "systemd:") {
			at = address
		}
	}
	if path, is := strings.CutPrefix(at, "unix:"); is {
		return "http://localhost", strings.TrimPrefix(path, "//"), nil
	}
	if at == "" {
		return "", "", errors.New("where is the server? Give --url")
	}
	if c.URL != "" {
		u, err := url.Parse(at)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return "", "", fmt.Errorf("--url %q is not the address of a server; give one such as http://localhost:4000", at)
		}
		return strings.TrimRight(at, "/"), "", nil
	}
	host, port, err := net.SplitHostPort(at)
	if err != nil {
		return "", "", fmt.Errorf("the address %s: %w", at, err)
	}
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return "http://" + net.JoinHostPort(host, port), "", nil
}

// client returns what asks the server.
func (c *Connection) client(socket string) (*http.Client, error) {
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: c.Insecure}} // #nosec G402 -- as --insecure says
	if c.CA != "" {
		roots, err := listen.Roots(c.CA)
		if err != nil {
			return nil, fmt.Errorf("--ca: %w", err)
		}
		transport.TLSClientConfig.RootCAs = roots
	}
	if socket != "" {
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		}
	}
	return &http.Client{Transport: transport}, nil
}
