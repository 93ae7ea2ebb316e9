package repo

// hand is a goroutine that runs functions, one after the other, until one of them ends it.
// It is used again and again, as its stack has grown to what a transaction needs.
type hand struct {
	work    chan func() error
	outcome chan error
}

func newHand() *hand {
	h := &hand{make(chan func() error), make(chan error, 1)}
	go h.labor()
	return h
}

// run runs f. It answers errExited if f ended the goroutine: then that can run no more.
func (h *hand) run(f func() error) error {
	h.work <- f
	return <-h.outcome
}

func (h *hand) labor() {
	exited := true
	defer func() {
		if exited {
			h.outcome <- errExited
		}
	}()
	for f := range h.work {
		h.outcome <- f()
	}
	exited = false
}
