package munin

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// uptake is the graph whose lines are versions.
const uptake = "version_uptake"

// maxLines is how many versions have a line of their own unless the operator names them.
const maxLines = 8

// The lines of version_uptake that are always there.
const (
	unnamed = "unknown" // clients that did not say what they are
	others  = "other"
)

// name returns how a version is called: implementation/version.
func (v Version) name() string {
	if v.Implementation == "" && v.Version == "" {
		return unnamed
	}
	return v.Implementation + "/" + v.Version
}

// lines returns the names of the versions that have a line: those that the operator named, or else those that most
// clients have, sorted.
func lines(named []string, versions []Version) []string {
	if len(named) > 0 {
		return append([]string{unnamed, others}, named...)
	}
	counts := count(versions)
	var names []string
	for name := range counts {
		if name != unnamed {
			names = append(names, name)
		}
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a, b)) })
	names = names[:min(len(names), maxLines)]
	slices.Sort(names)
	return append([]string{unnamed, others}, names...)
}

// count adds up the clients of each version. A version may be in the list for several apps.
func count(versions []Version) map[string]int64 {
	counts := map[string]int64{}
	for _, v := range versions {
		counts[v.name()] += v.Clients
	}
	return counts
}

// sort adds up the clients of each line. A line that is named like an implementation has all of its versions that have
// no line.
func sort(names []string, versions []Version) map[string]int64 {
	sums := map[string]int64{}
	for name, clients := range count(versions) {
		implementation, _, _ := strings.Cut(name, "/")
		switch {
		case slices.Contains(names, name):
		case slices.Contains(names, implementation):
			name = implementation
		default:
			name = others
		}
		sums[name] += clients
	}
	return sums
}

// fieldName returns a name that Munin takes: letters, digits and underscores, no digit first.
func fieldName(version string) string {
	return "v_" + strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, version)
}

// versionFields returns the lines of version_uptake, one above the other. Two versions whose names Munin cannot tell
// apart get a number.
func versionFields(named []string, versions []Version) []field {
	names := lines(named, versions)
	sums := sort(names, versions)
	used := map[string]int{}
	fields := make([]field, len(names))
	for i, name := range names {
		f := fieldName(name)
		if used[f]++; used[f] > 1 {
			f += "_" + strconv.Itoa(used[f])
		}
		draw := "STACK"
		if i == 0 {
			draw = "AREA"
		}
		fields[i] = gauge(f, oneLine(strings.NewReplacer("#", " ", "\\", " ").Replace(name)), draw, func(State) int64 { return sums[name] })
	}
	return fields
}
