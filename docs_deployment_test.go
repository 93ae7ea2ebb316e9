package main

import (
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// TestUnitFitsItsPage checks the unit of docs/operations.md against what else the page has an operator do under it.
func TestUnitFitsItsPage(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(text)
	_, unit, _ := strings.Cut(page, "```ini\n[Unit]\n")
	unit, _, _ = strings.Cut(unit, "```")
	settings := strings.Split(unit, "\n")
	all := func(pattern string) [][]string { return regexp.MustCompile(pattern).FindAllStringSubmatch(page, -1) }
	for _, want := range []struct {
		what    string
		named   [][]string
		setting string
	}{
		{"user of Munin's plugins", all(`(?m)^user (\w+)$`), "User="},
		{"directory of the database", all(`/var/lib/(\w+)/`), "StateDirectory="},
		{"directory of a Unix socket", all(`unix:/run/(\w+)/`), "RuntimeDirectory="},
	} {
		if len(want.named) == 0 {
			t.Errorf("the page names no %s", want.what)
		}
		for _, name := range want.named {
			if line := want.setting + name[1]; !slices.Contains(settings, line) {
				t.Errorf("the page has the %s %s, and its unit no %s", want.what, name[1], line)
			}
		}
	}
	if !strings.Contains(page, "systemctl reload restante") || !slices.Contains(settings, "ExecReload=/bin/kill -HUP $MAINPID") {
		t.Error("the page has no `systemctl reload restante`, or its unit no way to do that")
	}
	// By default, systemd gives up after five starts within ten seconds: a database may take longer to come up.
	if slices.Contains(settings, "Restart=always") && !slices.Contains(settings, "StartLimitIntervalSec=0") {
		t.Error("systemd would give up a server whose database comes up after it")
	}
}

// TestComposeAddresses checks that no container of compose.yaml is given an address that another one has for its own:
// containers without one are given the first that is free when they start.
func TestComposeAddresses(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("compose.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Services map[string]struct {
			Networks map[string]struct {
				Address netip.Addr `yaml:"ipv4_address"` //nolint:tagliatelle // as Compose has it
			}
		}
		Networks map[string]struct {
			IPAM struct {
				Config []struct {
					Subnet netip.Prefix
					Given  netip.Prefix `yaml:"ip_range"` //nolint:tagliatelle // likewise
				}
			}
		}
	}
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	fixed := 0
	for service, s := range file.Services {
		for network, at := range s.Networks {
			fixed++
			for _, c := range file.Networks[network].IPAM.Config {
				if !c.Subnet.Contains(at.Address) || !c.Given.IsValid() || c.Given.Contains(at.Address) {
					t.Errorf("%s has the address %v; of %v, others are given any of %v", service, at.Address, c.Subnet, c.Given)
				}
			}
		}
	}
	if fixed == 0 {
		t.Error("no container has an address of its own")
	}
}
