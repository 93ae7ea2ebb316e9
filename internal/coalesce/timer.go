// Package coalesce has timers that are due at about the same time fire together, so that a server with thousands of
// clients that wait is woken some times a second instead of once for each.
//
// The package knows times and functions only, and imports the standard library only.
package coalesce

import "time"

// AfterFunc returns a function that does as [time.AfterFunc] does, but may call f later, by less than slack. All that
// end up in the same span of slack are called one right after the other. Stop reports whether it has kept f from being
// called.
func AfterFunc(slack time.Duration) func(d time.Duration, f func()) (stop func() bool) {
	origin := time.Now()
	return func(d time.Duration, f func()) (stop func() bool) {
		now := time.Since(origin)
		due := now + d
		if past := due % slack; past > 0 {
			due += slack - past
		}
		return time.AfterFunc(due-now, f).Stop
	}
}
