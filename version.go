package main

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
)

// release is the version of this source. The contract and the npm packages have the same.
const release = "1.0.0"

// What the build knows and the source does not: -ldflags "-X main.commit=… -X main.date=…". A package of a distribution
// may set version, too.
var (
	version string // instead of release
	commit  string // the commit that was built
	date    string // the commit's date
)

// buildVersion returns the version of this program.
func buildVersion() string { return cmp.Or(version, release) }

// describeBuild returns the version of this program in one line, with the commit, its date and the version of Go.
// Without -ldflags, the commit is what the go command recorded. What is not known is left out.
func describeBuild(recorded []debug.BuildSetting) string {
	settings := map[string]string{}
	for _, s := range recorded {
		settings[s.Key] = s.Value
	}
	details := []string{runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH}
	if at := cmp.Or(date, settings["vcs.time"]); at != "" {
		details = append([]string{at}, details...)
	}
	if id := cmp.Or(commit, settings["vcs.revision"]); id != "" {
		id = "commit " + id[:min(len(id), 12)]
		if commit == "" && settings["vcs.modified"] == "true" {
			id += " with changes"
		}
		details = append([]string{id}, details...)
	}
	return fmt.Sprintf("restante %s (%s)", buildVersion(), strings.Join(details, ", "))
}

// showVersion is `restante version`.
type showVersion struct{}

// Run prints the version.
func (showVersion) Run() error {
	var recorded []debug.BuildSetting
	if info, ok := debug.ReadBuildInfo(); ok {
		recorded = info.Settings
	}
	_, err := fmt.Println(describeBuild(recorded))
	return err
}
