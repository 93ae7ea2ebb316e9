package rendezvous

import (
	"sync"
	"time"
)

const (
	// fullRangeTTL is how long a full range is not searched again. If another process frees a number of
	// it, that number stays unused for at most so long.
	fullRangeTTL = time.Second
	// freeRangesApps bounds for how many apps this is remembered.
	freeRangesApps = 1000
)

// freeRanges remembers which of the [NumberRanges] were full recently. Finding that out takes longer
// the more nameplates there are.
type freeRanges struct {
	mu   sync.Mutex
	apps map[AppID]fullness
}

// fullness says that all ranges before from are full.
type fullness struct {
	from  int
	until time.Time
}

// first returns the index of the first range that may have a free number.
func (s *freeRanges) first(app AppID, now time.Time) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f, known := s.apps[app]; known && now.Before(f.until) {
		return f.from
	}
	return 0
}

// markFull records that range i and all before it are full.
func (s *freeRanges) markFull(app AppID, i int, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.apps == nil || len(s.apps) >= freeRangesApps {
		s.apps = map[AppID]fullness{}
	}
	if f := s.apps[app]; f.from <= i || !now.Before(f.until) {
		s.apps[app] = fullness{i + 1, now.Add(fullRangeTTL)}
	}
}

// markFree records that a nameplate is free again.
func (s *freeRanges) markFree(app AppID, id NameplateID) {
	number, ok := id.Number()
	if !ok {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if f, known := s.apps[app]; known && number <= NumberRanges[f.from-1].High {
		delete(s.apps, app)
	}
}
