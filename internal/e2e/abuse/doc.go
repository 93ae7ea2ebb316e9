// Package abuse is the end-to-end tests in which one client asks for far too much: it is slowed down and refused and can be
// found in the log, and all others are served as if it were not there.
//
// The tests state outcomes, never how long anything takes: .ci/abuse measures that.
package abuse
