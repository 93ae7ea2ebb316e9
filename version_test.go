package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/debug"
	"testing"

	"go.yaml.in/yaml/v3"

	"restante/openapi"
)

// TestOneVersion checks that the program, the contract and the npm packages have one version.
func TestOneVersion(t *testing.T) {
	t.Parallel()
	var contract struct {
		Info struct{ Version string }
	}
	if err := yaml.Unmarshal(openapi.YAML, &contract); err != nil {
		t.Fatal(err)
	}
	if contract.Info.Version != release {
		t.Errorf("openapi.yaml is of version %s, the program of %s", contract.Info.Version, release)
	}
	packages, err := filepath.Glob("web/*/package.json")
	if err != nil || len(packages) < 2 {
		t.Fatalf("%q, %v", packages, err)
	}
	for _, name := range packages {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var p struct{ Version string }
		if err := json.Unmarshal(text, &p); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if p.Version != release {
			t.Errorf("%s is of version %s, the program of %s", name, p.Version, release)
		}
	}
	sources, err := filepath.Glob("web/client/src/*.ts")
	if err != nil {
		t.Fatal(err)
	}
	said := 0
	for _, name := range sources {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range regexp.MustCompile(`VERSION = '([^']*)'`).FindAllSubmatch(text, -1) {
			if said++; string(found[1]) != release {
				t.Errorf("%s says in its handshakes that it is of version %s, the program is of %s", name, found[1], release)
			}
		}
	}
	if said != 1 {
		t.Errorf("the client says %d times which version it is of", said)
	}
	text, err := os.ReadFile("web/package-lock.json")
	if err != nil {
		t.Fatal(err)
	}
	var lock struct {
		Packages map[string]struct{ Version string }
	}
	if err := json.Unmarshal(text, &lock); err != nil {
		t.Fatal(err)
	}
	for _, name := range packages {
		dir := filepath.Base(filepath.Dir(name))
		if got := lock.Packages[dir].Version; got != release {
			t.Errorf("web/package-lock.json has %s of version %q, the program is of %s", dir, got, release)
		}
	}
}

func TestDescribeBuild(t *testing.T) {
	program := runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH
	for name, tt := range map[string]struct {
		version, commit, date string
		recorded              []debug.BuildSetting
		want                  string
	}{
		"nothing is known": {want: "restante " + release + " (" + program + ")"},
		"the go command recorded it": {
			recorded: []debug.BuildSetting{{Key: "vcs.revision", Value: "0123456789abcdef"}, {Key: "vcs.time", Value: "2026-11-26T23:00:00Z"}, {Key: "vcs.modified", Value: "false"}},
			want:     "restante " + release + " (commit 0123456789ab, 2026-11-26T23:00:00Z, " + program + ")",
		},
		"with changes": {
			recorded: []debug.BuildSetting{{Key: "vcs.revision", Value: "0123456789abcdef"}, {Key: "vcs.modified", Value: "true"}},
			want:     "restante " + release + " (commit 0123456789ab with changes, " + program + ")",
		},
		"the build set it": {
			version: "9.9", commit: "abc", date: "2026-01-01T00:00:00Z", recorded: []debug.BuildSetting{{Key: "vcs.revision", Value: "0123456789abcdef"}},
			want: "restante 9.9 (commit abc, 2026-01-01T00:00:00Z, " + program + ")",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Cleanup(func() { version, commit, date = "", "", "" })
			version, commit, date = tt.version, tt.commit, tt.date
			if got := describeBuild(tt.recorded); got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
		})
	}
}
