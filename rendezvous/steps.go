package rendezvous

import "context"

// A Step is what one of the loops of [Service.Run] does at a tick.
type Step int

// The steps. That of pruning is [Service.Prune].
const (
	StepWatch      Step = iota // watches the storage and the clock
	StepRecordNews             // stores acknowledgements, and which clients came back
	StepRecordLife             // stores signs of life, and forgets what is not read any more
	StepPruneLogs              // deletes the logs of retired mailboxes
	StepRecordLast             // stores all that is not stored yet, as when the server stops
)

// Step does a step at once. It is for a simulation, which runs no loops: it decides itself what happens when.
func (s *Service) Step(ctx context.Context, step Step) {
	switch step {
	case StepWatch:
		s.watchOnce(ctx)
	case StepRecordNews:
		s.recordNews(ctx)
	case StepRecordLife:
		s.retakeUnrecorded()
		s.recordLife(ctx)
	case StepPruneLogs:
		s.pruneLogsOnce(ctx)
	case StepRecordLast:
		s.recordLast(ctx)
	}
}
