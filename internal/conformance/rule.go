package conformance

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"
)

// Rule is one thing that the contract or a protocol promises.
type Rule struct {
	// ID names the rule, such as sending/replayed.
	ID string `json:"id"`
	// Text is the rule, in a sentence.
	Text string `json:"text"`

	check func(t *trial)
}

// Verdict is what became of a rule.
type Verdict string

// The verdicts.
const (
	Kept    Verdict = "kept"
	Broken  Verdict = "broken"
	Untried Verdict = "untried" // the server could not be asked, or said that it is too busy
)

// Result is a rule and what became of it.
type Result struct {
	Rule
	Verdict Verdict `json:"verdict"`
	// Detail says how the rule is broken, or why it could not be tried.
	Detail string `json:"detail,omitempty"`
	// TookMs is how long the conversation took, in milliseconds.
	TookMs int64 `json:"tookMs"`
}

// errUntried is the cause of a trial that says nothing about the server's rules.
var errUntried = errors.New("not tried")

// stop unwinds a trial that is decided.
type stop struct{ err error }

// try plays a rule against a server.
func (s *suite) try(ctx context.Context, r Rule) (result Result) {
	began := time.Now()
	ctx, cancel := context.WithTimeoutCause(ctx, s.limit, fmt.Errorf("no answer within %v", s.limit))
	defer cancel()
	t := &trial{suite: s, ctx: ctx}
	defer func() { //nolint:contextcheck // it frees what it holds also when its time is over
		t.cleanUp()
		result = Result{Rule: r, Verdict: Kept, TookMs: time.Since(began).Milliseconds()}
		var err error
		switch v := recover().(type) {
		case nil:
			return
		case stop:
			err = v.err
		default:
			err = fmt.Errorf("this program failed: %v\n%s", v, debug.Stack())
		}
		result.Verdict, result.Detail = Broken, err.Error()
		if errors.Is(err, errUntried) {
			result.Verdict = Untried
		}
	}()
	r.check(t)
	return result
}

// rules are all rules, in reading order.
func rules() (all []Rule) {
	for _, of := range [][]Rule{
		handshakeRules, sendingRules, receivingRules, streamRules, mailboxRules, nameplateRules, secretRules, failureRules, operationRules,
		wormholeRules,
	} {
		all = append(all, of...)
	}
	return all
}
