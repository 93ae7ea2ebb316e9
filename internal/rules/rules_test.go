package rules_test

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"restante/internal/rules"
)

// write writes files into a folder of their own, and returns the path of the first.
func write(t *testing.T, files ...string) string {
	t.Helper()
	dir := t.TempDir()
	for i := 0; i < len(files); i += 2 {
		if err := os.WriteFile(filepath.Join(dir, files[i]), []byte(files[i+1]), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, files[0])
}

func read(t *testing.T, files ...string) *rules.Rules {
	t.Helper()
	r, err := rules.Read(write(t, files...))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

const example = `
# Rules are looked at from the top.
- address: 192.0.2.99
  allow: true
- address: [192.0.2.0/24, 2001:db8::/32, addr-k3vq7t2mza]
  refuse: Write to post@mail.example.
- address-file: banned.txt
  refuse: You are banned.
- client: [acme/1.*, old-client/*]
  refuse: Update your client.
- app: example.org/*
  message: Maintenance tonight.
- app: example.org/slow
  delay: 2s
- address: 198.51.100.0/24
  delay: 1s
- message: Be kind.
`

func TestVerdicts(t *testing.T) {
	r := read(t, "rules.yaml", example, "banned.txt", "# by fail2ban\naddr-aaaaaaaaaa\n\naddr-bbbbbbbbbb-cccccccccc # a network\n203.0.113.5\n")
	if r.Len() != 8 {
		t.Errorf("there are %d rules", r.Len())
	}
	const id = "addr-zzzzzzzzzz"
	for name, tt := range map[string]struct {
		client            rules.Client
		ofAddress, ofThis rules.Verdict
	}{
		"any": {
			rules.Client{netip.MustParseAddr("203.0.113.1"), id, "app", "x/1"},
			rules.Verdict{Message: "Be kind."},
			rules.Verdict{Message: "Be kind."},
		},
		"in a range": {
			rules.Client{netip.MustParseAddr("192.0.2.7"), id, "app", ""},
			rules.Verdict{Refuse: "Write to post@mail.example."},
			rules.Verdict{Refuse: "Write to post@mail.example."},
		},
		"in a range, as IPv6 writes it": {
			rules.Client{netip.MustParseAddr("::ffff:192.0.2.7"), id, "app", ""},
			rules.Verdict{Refuse: "Write to post@mail.example."},
			rules.Verdict{Refuse: "Write to post@mail.example."},
		},
		"in a range, and allowed before": {rules.Client{netip.MustParseAddr("192.0.2.99"), id, "app", "acme/1.0"}, rules.Verdict{}, rules.Verdict{}},
		"by id": {
			rules.Client{netip.MustParseAddr("203.0.113.1"), "addr-k3vq7t2mza", "app", ""},
			rules.Verdict{Refuse: "Write to post@mail.example."},
			rules.Verdict{Refuse: "Write to post@mail.example."},
		},
		"by the id of its network": {
			rules.Client{netip.MustParseAddr("2001:db9::1"), "addr-aaaaaaaaaa-dddddddddd", "app", ""},
			rules.Verdict{Refuse: "You are banned."},
			rules.Verdict{Refuse: "You are banned."},
		},
		"another network": {
			rules.Client{netip.MustParseAddr("2001:db9::1"), "addr-bbbbbbbbbb-dddddddddd", "app", ""},
			rules.Verdict{Message: "Be kind."},
			rules.Verdict{Message: "Be kind."},
		},
		"from a file": {
			rules.Client{netip.MustParseAddr("203.0.113.5"), id, "app", ""},
			rules.Verdict{Refuse: "You are banned."},
			rules.Verdict{Refuse: "You are banned."},
		},
		"on a Unix socket": {rules.Client{netip.Addr{}, "addr-local", "app", ""}, rules.Verdict{Message: "Be kind."}, rules.Verdict{Message: "Be kind."}},
		"by version": {
			rules.Client{netip.MustParseAddr("203.0.113.1"), id, "app", "acme/1.9/beta"},
			rules.Verdict{Message: "Be kind."},
			rules.Verdict{Refuse: "Update your client.", ByVersion: true},
		},
		"by app, with a delay": {
			rules.Client{netip.MustParseAddr("198.51.100.1"), id, "example.org/slow", ""},
			rules.Verdict{Message: "Be kind.", Delay: time.Second},
			rules.Verdict{Message: "Maintenance tonight.\nBe kind.", Delay: 2 * time.Second},
		},
	} {
		if diff := cmp.Diff(tt.ofAddress, r.OfAddress(tt.client.Address, tt.client.AddressID)); diff != "" {
			t.Errorf("%s, of its address (-want +got):\n%s", name, diff)
		}
		if diff := cmp.Diff(tt.ofThis, r.OfClient(tt.client)); diff != "" {
			t.Errorf("%s, of the client (-want +got):\n%s", name, diff)
		}
	}
	if none := (*rules.Rules)(nil); none.OfClient(rules.Client{}) != (rules.Verdict{}) || none.Len() != 0 {
		t.Error("no rules say something")
	}
	if empty := read(t, "rules.yaml", "# none yet\n"); empty.Len() != 0 {
		t.Error("an empty file has rules")
	}
	if one := read(t, "rules.yaml", "---\n- refuse: no\n...\n"); one.Len() != 1 {
		t.Errorf("a file with marks around its document has %d rules", one.Len())
	}
	for _, mapped := range []string{"::ffff:192.0.2.0/120", "::ffff:0:0/96", "::ffff:192.0.2.1"} {
		if r := read(t, "rules.yaml", "- address: '"+mapped+"'\n  refuse: no\n"); r.OfAddress(netip.MustParseAddr("192.0.2.1"), id).Refuse != "no" {
			t.Errorf("%s does not stand for 192.0.2.1", mapped)
		}
	}
	const mark = "\ufeff" // which some editors write
	if r := read(t, "rules.yaml", mark+"- address-file: x\n  refuse: no\n", "x", mark+"192.0.2.1\n"); r.OfAddress(netip.MustParseAddr("192.0.2.1"), id).Refuse != "no" {
		t.Error("an address after a byte order mark is not met")
	}
	if emptied := read(t, "rules.yaml", "- address-file: x\n  refuse: no\n", "x", ""); emptied.OfAddress(netip.MustParseAddr("192.0.2.1"), id).Refuse != "" {
		t.Error("a rule about no address is met by all")
	}
}

func TestMistakesAreTold(t *testing.T) {
	for text, want := range map[string][]string{
		"address: 192.0.2.1\nrefuse: x":                  {":1: the rules must be a list"},
		"- 192.0.2.1":                                    {":1: a rule must have members"},
		"- adress: 192.0.2.1\n  refuse: x":               {`:1: "adress" is not known; a rule may have: address,`},
		"- address: 192.0.2.1":                           {":1: the rule does nothing"},
		"- refuse: x\n  refuse: y":                       {`:2: "refuse" is given twice`},
		"- allow: true\n  refuse: y":                     {":1: the rule allows a client"},
		"- refuse: x\n  delay: 1s":                       {":1: the rule refuses a client"},
		"- allow: no":                                    {":1: write 'allow: true'"},
		"- message:":                                     {":1: it must be a text"},
		"- message: [a]":                                 {":1: it must be a text"},
		"- message: " + strings.Repeat("x", 501):         {":1: the text has 501 bytes"},
		"- delay: 2":                                     {":1: a delay is a time from 1ms to 30s"},
		"- delay: 31s":                                   {":1: a delay is a time from 1ms to 30s"},
		"- app: []\n  delay: 1s":                         {":1: the list is empty"},
		"- app: '[x'\n  delay: 1s":                       {`:1: "[x" is not a pattern`},
		"- app: {a: b}\n  delay: 1s":                     {":1: it must be a text, or a list of texts"},
		"- refuse: x\n  address:\n  - 192.0.2.1\n  - no": {`:4: "no" is no address (192.0.2.7)`},
		"- address: 192.0.2.1/24\n  refuse: x":           {`:1: "192.0.2.1/24" has bits beyond its length; is 192.0.2.0/24 meant?`},
		"- address: addr-short\n  refuse: x":             {`:1: "addr-short" is no address`},
		"- address-file: none.txt\n  refuse: x":          {":1: open "},
		"- address-file: bad.txt\n  refuse: x":           {`bad.txt:2: "what" is no address`},
		"- a: [":                                         {"line 1"},
		"- refuse: x\n---\n- refuse: y":                  {":2: a second document begins here"},
		"- refuse: x\n---\n- a: [":                       {"line 3"},
		"- delay: 1h\n- x: y\n  allow: true":             {":1: a delay", `:2: "x" is not known`}, // all at once
	} {
		file := write(t, "rules.yaml", text, "bad.txt", "192.0.2.1\nwhat\n")
		_, err := rules.Read(file)
		for _, part := range want {
			if err == nil || !strings.Contains(err.Error(), part) {
				t.Errorf("%q: %v; want %q in it", text, err, part)
			}
		}
	}
	if _, err := rules.Read(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("there is no file, and no error")
	}
}
