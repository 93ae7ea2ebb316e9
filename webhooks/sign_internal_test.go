package webhooks

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// TestSign holds the signature to the example with which the libraries of Standard Webhooks are tested.
func TestSign(t *testing.T) {
	t.Parallel()
	var first, second secret
	for s, text := range map[*secret]string{&first: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", &second: "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX"} {
		if err := s.UnmarshalText([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	const want = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
	id, at, body := "msg_p5jXN8AQM9LWM0D4loKWxJek", time.Unix(1614265330, 0), []byte(`{"test": 2432232314}`)
	if got := sign([]secret{first}, id, at, body); got != want {
		t.Errorf("the signature is %s, want %s", got, want)
	}
	got := sign([]secret{second, first}, id, at, body)
	if list := strings.Split(got, " "); len(list) != 2 || list[0] == want || list[1] != want {
		t.Errorf("two secrets sign %q", got)
	}
	if shown := fmt.Sprintf("%v %+v %s", first, []secret{first}, first); strings.Contains(shown, "MfKQ") || strings.Contains(shown, "49 242") {
		t.Errorf("the secret is printed: %s", shown)
	}
}

func TestSecrets(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_", "whsec_c2hvcnQ=", "whsec_!", "whsec_" + strings.Repeat("AAAA", 22)} {
		if err := new(secret).UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}

func TestMayConnect(t *testing.T) {
	t.Parallel()
	public := Webhook{URL: "https://hooks.example"}
	for _, refused := range []string{
		"0.0.0.0", "10.1.2.3", "100.64.0.1", "127.0.0.1", "127.9.9.9", "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.1",
		"192.168.1.1", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "::", "::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1",
		"64:ff9b::7f00:1", "64:ff9b:1::1", "100::1", "fc00::1", "fd12::1", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1", "2001::1",
		"2001:db8::1", "2002:7f00:1::", "3fff::1", "::127.0.0.1",
	} {
		if public.mayConnect(netip.MustParseAddr(refused)) {
			t.Errorf("connects to %s", refused)
		}
	}
	for _, allowed := range []string{"1.1.1.1", "172.15.0.1", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "2a01::1", "::ffff:8.8.8.8"} {
		if !public.mayConnect(netip.MustParseAddr(allowed)) {
			t.Errorf("does not connect to %s", allowed)
		}
	}
	inside := []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("fd12::/16")}
	for _, at := range []string{"https://hooks.example", "http://hooks.example", "HTTP://hooks.example"} {
		h := Webhook{URL: at, Allow: inside}
		for address, want := range map[string]bool{
			"10.1.2.3": true, "::ffff:10.1.2.3": true, "10.2.0.1": false, "127.0.0.1": false, "fd12::1": true, "fd13::1": false,
			"1.1.1.1": at == "https://hooks.example", "2606:4700::1111": at == "https://hooks.example",
		} {
			if h.mayConnect(netip.MustParseAddr(address)) != want {
				t.Errorf("%s connects to %s: %v, want %v", at, address, !want, want)
			}
		}
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	const secrets = `"secrets": ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]`
	hooks, err := Parse([]byte(`{"webhooks": [
		{"app": "example.org/chat", "url": "https://hooks.example/in", ` + secrets + `},
		{"app": "example.org/home", "url": "http://10.0.0.7:8080/", ` + secrets + `, "allow": ["10.0.0.7/32"], "timeoutMs": 2000}]}`))
	if err != nil || len(hooks) != 2 || hooks[0].timeout() != defaultTimeout || hooks[1].timeout() != 2*time.Second {
		t.Fatalf("%+v, %v", hooks, err)
	}
	if hooks, err := Parse([]byte("\ufeff" + `{"webhooks": []}`)); err != nil || len(hooks) > 0 { // after a byte order mark
		t.Errorf("of an empty list: %+v, %v", hooks, err)
	}
	for text, want := range map[string]string{
		`[`:                                "JSON",
		`{}`:                               "no webhooks",
		`{"webhooks": [], "webhooks": []}`: "JSON",
		`{"webhooks": [{"app": "a", "url": "https://h.example", "secret": "x", ` + secrets + `}]}`:                                             `unknown field "secret"`,
		`{"webhooks": [{"url": "https://h.example", ` + secrets + `}]}`:                                                                        "app is missing",
		`{"webhooks": [{"app": "a", "url": "ftp://h.example", ` + secrets + `}]}`:                                                              "url is no http",
		`{"webhooks": [{"app": "a", "url": "http://h.example", ` + secrets + `}]}`:                                                             "not https",
		`{"webhooks": [{"app": "a", "url": "https://u:p@h.example", ` + secrets + `}]}`:                                                        "password",
		`{"webhooks": [{"app": "a", "url": "https://h.example"}]}`:                                                                             "secrets is missing",
		`{"webhooks": [{"app": "a", "url": "https://h.example", "secrets": ["x"]}]}`:                                                           "a secret is",
		`{"webhooks": [{"app": "a", "url": "https://h.example", "timeoutMs": 60001, ` + secrets + `}]}`:                                        "timeoutMs",
		`{"webhooks": [{"app": "a", "url": "https://h.example", "allow": ["10"], ` + secrets + `}]}`:                                           "netip",
		`{"webhooks": [{"app": "a", "url": "https://h.example", ` + secrets + `}, {"app": "a", "url": "https://i.example", ` + secrets + `}]}`: "has one already",
	} {
		if _, err := Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}
