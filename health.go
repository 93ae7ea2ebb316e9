package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"restante/internal/listen"
)

// health is `restante health`, for machines without curl such as our container.
type health struct {
	URL      string        `placeholder:"URL" help:"Where the server is: http://…, https://… or unix:/path. By default, the first address of --listen."`
	Listen   []string      `default:":4000" placeholder:"ADDR" help:"What the server was given as --listen (${default})."`
	CA       string        `name:"ca" placeholder:"FILE" help:"The authority that signed the certificate of an https:// URL, in PEM; by default, the system's list of authorities."`
	Insecure bool          `help:"Take any certificate."`
	Timeout  time.Duration `default:"3s" help:"How long to wait for its answer (${default})."`
}

// target returns where the server is, as an http:// or https:// URL, and the path of its Unix socket, if that is how
// it is reached.
func (h *health) target() (url, socket string, err error) {
	at := h.URL
	for _, address := range h.Listen {
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
	if h.URL != "" {
		return strings.TrimRight(at, "/"), "", nil
	}
	host, port, err := net.SplitHostPort(at)
	if err != nil {
		return "", "", fmt.Errorf("--listen %s: %w", at, err)
	}
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return "http://" + net.JoinHostPort(host, port), "", nil
}

// client returns what asks the server.
func (h *health) client(socket string) (*http.Client, error) {
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: h.Insecure}} // #nosec G402 -- as --insecure says
	if h.CA != "" {
		roots, err := listen.Roots(h.CA)
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

// Run asks whether the server is ready.
func (h *health) Run() error {
	ctx, cancel := context.WithTimeout(context.Background(), h.Timeout)
	defer cancel()
	url, socket, err := h.target()
	if err != nil {
		return err
	}
	client, err := h.client(socket)
	if err != nil {
		return err
	}
	defer client.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/readyz", http.NoBody)
	if err != nil {
		return fmt.Errorf("--url: %w", err)
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close() //nolint:errcheck // only read from
	body, err := io.ReadAll(io.LimitReader(response.Body, 64<<10))
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("not ready: %s %s", response.Status, bytes.TrimSpace(body))
	}
	_, err = fmt.Println("ready")
	return err
}
