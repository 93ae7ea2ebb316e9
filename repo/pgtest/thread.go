package pgtest

import (
	"runtime"
	"sync"
)

// processThread starts processes on an operating system thread of its own: they are killed when the
// thread that started them ends, and Go may end any other thread.
var processThread osThread

type osThread struct {
	mu    sync.Mutex
	funcs chan func()
	ended chan struct{}
}

// run runs start on the thread.
func (f *osThread) run(start func() error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.funcs == nil {
		f.funcs, f.ended = make(chan func()), make(chan struct{})
		go f.loop(f.funcs, f.ended)
	}
	done := make(chan error, 1)
	f.funcs <- func() { done <- start() }
	return <-done
}

func (*osThread) loop(tasks chan func(), ended chan struct{}) {
	runtime.LockOSThread() // never unlocked, so that the thread ends with this goroutine
	defer close(ended)
	for task := range tasks {
		task()
	}
}

// stop ends the thread and with it the processes that were started on it.
func (f *osThread) stop() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.funcs != nil {
		close(f.funcs)
		<-f.ended
		f.funcs = nil
	}
}
