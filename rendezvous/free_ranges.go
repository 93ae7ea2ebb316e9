package rendezvous

import (
	"sync"
	"time"
)

const (
	// shortestSpan is for how long numbers of so many digits are not looked through again after all
	// were found to be taken. Another process may free one meanwhile; it stays free for so long.
	fullRangeTTL = time.Second
	// shortestApps is of how many apps that is remembered.
	freeRangesApps = 1000
)

// shortest remembers which of the [NumberRanges] were full lately. To find out takes the longer the
// more nameplates there are, and is the same every time.
type freeRanges struct {
	mu   sync.Mutex
	apps map[AppID]fullness
}

// fullness says that all ranges before this one are full.
type fullness struct {
	from  int
	until time.Time
}

// of is the first range that is worth looking at.
func (s *freeRanges) first(app AppID, now time.Time) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f, known := s.apps[app]; known && now.Before(f.until) {
		return f.from
	}
	return 0
}

// full notes that a range was full, and all before it.
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

// freed notes that a nameplate is free again.
func (s *freeRanges) markFree(app AppID, id NameplateID) {
	number, is := id.Number()
	if !is {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if f, known := s.apps[app]; known && number <= NumberRanges[f.from-1].High {
		delete(s.apps, app)
	}
}
