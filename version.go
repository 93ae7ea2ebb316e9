package main

import (
	"fmt"
	"runtime/debug"
)

// version is set by the build: -ldflags "-X main.version=1.2.3".
var version = ""

// buildVersion is the version that was built in, or else the commit it was built from.
func buildVersion() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			return "commit-" + s.Value[:12]
		}
	}
	return "development"
}

// showing is `restante version`.
type showing struct{}

// Run prints the version.
func (showing) Run() error {
	_, err := fmt.Println("restante", buildVersion())
	return err
}
