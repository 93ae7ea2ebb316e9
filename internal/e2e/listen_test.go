package e2e_test

import (
	"net/http"
	"strings"
	"testing"

	"restante/internal/e2e"
	"restante/internal/testclient"
)

// TestReboundHost is a page of another site, of which the name was made to stand for 127.0.0.1.
func TestReboundHost(t *testing.T) {
	t.Parallel()
	asked := func(s *e2e.Server, host string) int {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL()+"/v1/status", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		request.Host = host
		response, err := testclient.OneShot.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		return response.StatusCode
	}
	local, named, proxied := e2e.Serve(t), e2e.Serve(t, "--allowed-hosts=relay.example"), e2e.Serve(t, "--trusted-proxies=127.0.0.1/32")
	for _, tt := range []struct {
		s    *e2e.Server
		host string
		want int
	}{
		{local, "", http.StatusOK},
		{local, "localhost:1", http.StatusOK},
		{local, "rebound.example", http.StatusMisdirectedRequest},
		{named, "relay.example:1", http.StatusOK},
		{named, "localhost", http.StatusMisdirectedRequest},
		{proxied, "relay.example", http.StatusOK},
	} {
		if got := asked(tt.s, tt.host); got != tt.want {
			t.Errorf("%v for %q: %d, want %d", tt.s.Flags, tt.host, got, tt.want)
		}
	}
}

// TestHTTP2WithoutTLS is spoken only if the operator wants it.
func TestHTTP2WithoutTLS(t *testing.T) {
	t.Parallel()
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetUnencryptedHTTP2(true)
	client := &http.Client{Transport: transport}
	t.Cleanup(client.CloseIdleConnections)
	if a, err := testclient.Exchange(t.Context(), client, http.MethodGet, e2e.Serve(t).URL()+"/livez", nil, ""); err == nil {
		t.Errorf("by default: %d", a.Status)
	}
	if a, err := testclient.Exchange(t.Context(), client, http.MethodGet, e2e.Serve(t, "--h2c").URL()+"/livez", nil, ""); err != nil || a.Status != http.StatusOK {
		t.Errorf("with --h2c: %d %v", a.Status, err)
	}
}

// TestSeesWhatIsWrongWithACertificate is a server that is given what cannot be used: it says so, and does not start.
func TestSeesWhatIsWrongWithACertificate(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		arguments []string
		want      string
	}{
		"no file":         {[]string{"--tls-cert=/none.pem", "--tls-key=/none.pem"}, "/none.pem"},
		"no key":          {[]string{"--tls-cert=/none.pem"}, "--tls-key"},
		"no name":         {[]string{"--acme-domain=localhost"}, "relay.example.org"},
		"no authority":    {[]string{"--acme-domain=relay.example.org", "--acme-ca=/none.pem"}, "/none.pem"},
		"no certificate":  {[]string{"--tls-listen=127.0.0.1:0"}, "--tls-cert"},
		"a host's origin": {[]string{"--allowed-hosts=https://relay.example.org"}, "--allowed-hosts"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, complaints, code := e2e.Run(t, nil, append(tt.arguments, "--listen=none", "--log-level=error")...)
			if code != 1 || out != "" || !strings.Contains(complaints, tt.want) {
				t.Errorf("%d %q %q, want %q in the complaint", code, out, complaints, tt.want)
			}
			plain(t, complaints)
		})
	}
}
