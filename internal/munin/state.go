package munin

import (
	"context"
	"errors"
	"time"
)

// ErrSilent is the error of a [Source] whose server does not answer, and whose database cannot be read.
var ErrSilent = errors.New("the server does not answer")

// ErrRefused is the error of a [Source] whose server answers with an error, and whose database cannot be read.
var ErrRefused = errors.New("the server refuses to tell its status")

// Source finds out what graphs show.
type Source interface {
	// State returns what is known of the server. It fails if neither the server nor its database tells.
	State(ctx context.Context) (State, error)
	// Versions returns how many clients connected in the last hour, by version.
	Versions(ctx context.Context) ([]Version, error)
}

// State is what is known of a server.
type State struct {
	// Answers reports whether the server told its status; otherwise its database was read.
	Answers bool
	// Refused is the error with which the server answered instead; empty if it did not answer, or told its status.
	Refused string

	Nameplates, Mailboxes, Messages, Sessions int64

	// Since is how things ended since the server started, and AllTime since the database was made.
	Since, AllTime Ended

	Updated  time.Duration  // the age of the last modification
	Pruned   *time.Duration // the age of the last run of pruning in which nothing failed, or of the server; nil if it is not known
	Failing  *[]string      // what cannot be pruned, and why; nil if it is not known
	Recorded *time.Duration // the age of the last time that signs of life were stored and nothing failed, or of the server; nil if it is not known
}

// Ended is how many things ended, by result.
type Ended struct{ Nameplates, Mailboxes map[string]int64 }

// Version is how many clients of a version connected.
type Version struct {
	Implementation, Version string // empty if the client did not say
	Clients                 int64
}

// total returns how many things ended.
func total(results map[string]int64) (sum int64) {
	for _, n := range results {
		sum += n
	}
	return sum
}
