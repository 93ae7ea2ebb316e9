package repo

// hand is a goroutine that runs functions, one after the other, until one of them ends it.
// It is used again and again, as its stack has grown to what a transaction needs.
type worker struct {
	tasks   chan func() error
	results chan error
}

func newWorker() *worker {
	h := &worker{make(chan func() error), make(chan error, 1)}
	go h.loop()
	return h
}

// run runs f. It answers errExited if f ended the goroutine: then that can run no more.
func (h *worker) run(f func() error) error {
	h.tasks <- f
	return <-h.results
}

func (h *worker) loop() {
	exited := true
	defer func() {
		if exited {
			h.results <- errGoexit
		}
	}()
	for f := range h.tasks {
		h.results <- f()
	}
	exited = false
}
