package main

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"restante/internal/e2e"
)

// parsed returns the settings of a server that is given variables and flags.
func parsed(t *testing.T, variables map[string]string, flags ...string) (Config, error) {
	t.Helper()
	for name, value := range variables {
		t.Setenv(name, value)
	}
	var cli commands
	_, err := parse(&cli, append([]string{"serve"}, flags...))
	return cli.Serve, err
}

// White space and empty elements of lists do not count, wherever the list comes from.
func TestLists(t *testing.T) {
	c, err := parsed(t, map[string]string{
		"RESTANTE_APPS": "a, b ,,c,\n", "RESTANTE_REJECT_CLIENT": " acme/1.*, x/* ", "RESTANTE_TRUSTED_PROXIES": "10.0.0.0/8, 192.0.2.1, ::1 ,::ffff:192.0.2.0/120",
		"RESTANTE_TOKEN_AUDIENCE": ",",
	}, "--allowed-hosts=a.example, b.example", "--allowed-hosts", " c.example", `--token-issuer=a\,b, c`)
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct{ got, want []string }{
		"apps":      {c.Apps, []string{"a", "b", "c"}},
		"clients":   {c.RejectClient, []string{"acme/1.*", "x/*"}},
		"hosts":     {c.AllowedHosts, []string{"a.example", "b.example", "c.example"}},
		"audiences": {c.TokenAudience, nil},
		"issuers":   {c.TokenIssuer, []string{"a,b", "c"}},
	} {
		if !slices.Equal(tt.got, tt.want) {
			t.Errorf("%s: %q, want %q", name, tt.got, tt.want)
		}
	}
	want := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.0.2.1/32"), netip.MustParsePrefix("::1/128"), netip.MustParsePrefix("192.0.2.0/24")}
	if !slices.Equal(c.TrustedProxies, want) {
		t.Errorf("the proxies are %v", c.TrustedProxies)
	}
	if _, err := parsed(t, nil, "--trusted-proxies=proxy"); err == nil || !strings.Contains(err.Error(), `"proxy" is no address`) {
		t.Errorf("a proxy without an address: %v", err)
	}
}

// What a file or a program leaves around a value of a variable does not count, and no value at all is none.
func TestVariablesAreTrimmed(t *testing.T) {
	c, err := parsed(t, map[string]string{
		"RESTANTE_ADMIN_TOKEN": "0123456789abcdef\n", "RESTANTE_DATABASE": " x.db\r\n", "RESTANTE_MAX_BODY": "", "RESTANTE_DISALLOW_LIST": " ",
		"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a.example\n", "RESTANTE_MOTD": "one\ntwo\n",
	})
	if err != nil {
		t.Fatal(err)
	}
	if c.AdminToken != "0123456789abcdef" || c.Database != "x.db" || c.MaxBody != 262144 || c.DisallowList || c.OTLPEndpoint != "http://a.example" || c.Motd != "one\ntwo" {
		t.Errorf("it has %q %q %d %t %q %q", c.AdminToken, c.Database, c.MaxBody, c.DisallowList, c.OTLPEndpoint, c.Motd)
	}
}

func TestControlCharactersAreRefused(t *testing.T) {
	for _, flag := range []string{"--database", "--admin-token", "--apps", "--settings", "--base-path"} {
		if _, err := parsed(t, nil, flag+"=a\nb"); err == nil || !strings.Contains(err.Error(), flag+" has a control character") {
			t.Errorf("%s: %v", flag, err)
		}
	}
	if _, complaints, code := e2e.Run(t, []string{"RESTANTE_DATABASE=a\tb"}); code != 1 || !strings.Contains(complaints, "--database") {
		t.Errorf("%d %q", code, complaints)
	}
}
