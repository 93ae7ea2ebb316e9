package torture

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// world is what all rooms of a run share.
type world struct {
	clock
	cfg      Config
	contract *contract
	servers  []*server
	apps     apps
	nonce    string
	ids      atomic.Int64
	replayed atomic.Int64
	messages atomic.Int64
	sessions atomic.Int64
	wakes    wakes
	tallied  tally

	mu         sync.Mutex
	injected   map[string]map[string]int64
	times      map[string]int64 // how often each fault was injected, by fault
	using      map[string]int   // transports of rooms that run now
	violations []Violation
	plates     []plate
}

// unique is a name that no other run has.
func (w *world) unique(what string) string {
	return fmt.Sprintf("%s-%s-%d", what, w.nonce, w.ids.Add(1))
}

// use tells that a client uses a transport from now on; by is 1 or -1.
func (w *world) use(transport string, by int) {
	w.mu.Lock()
	w.using[transport] += by
	w.mu.Unlock()
}

// inject counts a fault, in all and for each transport that is in use.
func (w *world) inject(fault string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.times[fault]++
	for transport, clients := range w.using {
		if clients > 0 {
			w.harmed(fault, transport, 1)
		}
	}
}

func (w *world) harmed(fault, transport string, n int64) {
	if w.injected[fault] == nil {
		w.injected[fault] = map[string]int64{}
	}
	w.injected[fault][transport] += n
}

// plate is a nameplate that a room certainly holds for some time.
type plate struct {
	app, nameplate, mailbox, room string
	from, until                   time.Duration
}

// hold notes that a nameplate is a room's, and release that it may be so no longer.
func (w *world) hold(p plate) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.plates = append(w.plates, p)
}

// shared are the nameplates that belonged to two mailboxes at once.
func (w *world) shared() (found []Violation) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, a := range w.plates {
		for _, b := range w.plates[:i] {
			if a.app == b.app && a.nameplate == b.nameplate && a.mailbox != b.mailbox && a.from < b.until && b.from < a.until {
				found = append(found, Violation{
					Rule: "a nameplate is never two pairs'", Room: a.room, When: a.from,
					What: fmt.Sprintf("nameplate %s led to %s (%s, %v–%v) and to %s (%s, %v–%v)", a.nameplate, a.mailbox, a.room, a.from, a.until, b.mailbox, b.room, b.from, b.until),
				})
			}
		}
	}
	return found
}

// apps are the numbers of what was made in each app.
type apps struct {
	mu    sync.Mutex
	known map[string]*made
}

// made is how many nameplates and mailboxes were made; maybe is how many more there may be of each.
type made struct{ nameplates, mailboxes, maybe int }

func (a *apps) change(app string, f func(*made)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.known == nil {
		a.known = map[string]*made{}
	}
	if a.known[app] == nil {
		a.known[app] = &made{}
	}
	f(a.known[app])
}

func (a *apps) maybe(app string) { a.change(app, func(m *made) { m.maybe++ }) }

// unheard is how many nameplates may have been allocated that no client heard of.
func (a *apps) unheard() (n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, m := range a.known {
		n += m.maybe
	}
	return n
}
