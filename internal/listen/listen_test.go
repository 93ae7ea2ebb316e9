package listen_test

import (
	"net"
	"strings"
	"testing"

	"restante/internal/listen"
)

// freePort returns a port that was free on both families a moment ago.
func freePort(t *testing.T) string {
	t.Helper()
	l := open(t, listen.Config{Plain: []string{":0"}})
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addrs()[0].String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

func TestFamilies(t *testing.T) {
	tests := map[string]struct {
		listen     []string // P stands for a port
		four, six  bool     // which are accepted
		public, lo bool
	}{
		"no host":              {[]string{":P"}, true, true, true, false},
		"IPv4":                 {[]string{"0.0.0.0:P"}, true, false, true, false},
		"IPv6, and so IPv4":    {[]string{"[::]:P"}, true, true, true, false},
		"both":                 {[]string{"0.0.0.0:P", "[::]:P"}, true, true, true, false},
		"both, the other way":  {[]string{"[::]:P", "0.0.0.0:P"}, true, true, true, false},
		"loopback and IPv6":    {[]string{"127.0.0.1:P", "[::]:P"}, true, true, true, false},
		"loopback of IPv4":     {[]string{"127.0.0.1:P"}, true, false, false, true},
		"loopback of IPv6":     {[]string{"[::1]:P"}, false, true, false, true},
		"both loopbacks":       {[]string{"127.0.0.1:P", "[::1]:P"}, true, true, false, true},
		"none, beside another": {[]string{"none", "127.0.0.1:P"}, true, false, false, true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			port := freePort(t)
			var at []string
			for _, a := range tt.listen {
				at = append(at, strings.Replace(a, "P", port, 1))
			}
			l := open(t, listen.Config{Plain: at})
			for address, want := range map[string]bool{"127.0.0.1:" + port: tt.four, "[::1]:" + port: tt.six} {
				if err := connect(t, "tcp", address); (err == nil) != want {
					t.Errorf("to %s: %v, want %t", address, err, want)
				}
			}
			if l.Public() != tt.public || l.Loopback() != tt.lo || l.Secure() {
				t.Errorf("public %t, loopback %t, secure %t; want %t, %t, false", l.Public(), l.Loopback(), l.Secure(), tt.public, tt.lo)
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	taken := open(t, listen.Config{Plain: []string{"127.0.0.1:0"}}).Addrs()[0].String()
	tests := map[string]struct {
		config listen.Config
		want   string
	}{
		"no port":          {listen.Config{Plain: []string{"4000"}}, "write :4000"},
		"an empty address": {listen.Config{Plain: []string{""}}, "write :4000"},
		"no path":          {listen.Config{Plain: []string{"unix:"}}, "names no file"},
		"an abstract path": {listen.Config{Plain: []string{"unix:@x"}}, "names no file"},
		"a long path":      {listen.Config{Plain: []string{"unix:/" + strings.Repeat("x", 200)}}, "at most"},
		"nothing":          {listen.Config{Plain: []string{"none"}}, "nothing to listen on"},
		"no certificate":   {listen.Config{Secure: []string{"127.0.0.1:0"}}, "needs a certificate"},
		"what is taken":    {listen.Config{Plain: []string{taken}}, "taken by another"},
		"no systemd":       {listen.Config{Plain: []string{"systemd:"}}, "passed no socket"},
		"no such host":     {listen.Config{Plain: []string{"192.0.2.1:0"}}, "cannot listen on 192.0.2.1:0"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			l, err := listen.Open(t.Context(), tt.config)
			if err == nil {
				l.Close()
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %q in it", err, tt.want)
			}
		})
	}
}

// What was opened before the address that fails is closed again.
func TestNothingIsLeftOpen(t *testing.T) {
	at := "127.0.0.1:" + freePort(t)
	if _, err := listen.Open(t.Context(), listen.Config{Plain: []string{at, "192.0.2.1:0"}}); err == nil {
		t.Fatal("an address that this machine does not have is listened on")
	}
	if connect(t, "tcp", at) == nil {
		t.Error("the first address is still listened on")
	}
}
