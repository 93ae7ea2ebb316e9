package repo

// worker is a goroutine that runs functions one after the other, until one of them ends it.
// It is reused because its stack has already grown to the size that a transaction needs.
type worker struct {
	tasks   chan func() error
	results chan error
}

func newWorker() *worker {
	w := &worker{make(chan func() error), make(chan error, 1)}
	go w.loop()
	return w
}

// run runs f and returns its error, or errGoexit if f ended the goroutine: the worker is then of no more use.
func (w *worker) run(f func() error) error {
	w.tasks <- f
	return <-w.results
}

// loop runs tasks until the channel is closed.
func (w *worker) loop() {
	exited := true
	defer func() {
		if exited {
			w.results <- errGoexit
		}
	}()
	for f := range w.tasks {
		w.results <- f()
	}
	exited = false
}
