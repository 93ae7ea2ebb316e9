package pgtest

import (
	"runtime"
	"sync"
)

// parent starts processes on a thread of its own that lasts: they are killed when the
// thread that started them ends, and Go ends threads as it likes.
var parent forker

type forker struct {
	mu    sync.Mutex
	tasks chan func()
	ended chan struct{}
}

// fork runs start on the thread.
func (f *forker) fork(start func() error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.tasks == nil {
		f.tasks, f.ended = make(chan func()), make(chan struct{})
		go f.run(f.tasks, f.ended)
	}
	done := make(chan error, 1)
	f.tasks <- func() { done <- start() }
	return <-done
}

func (*forker) run(tasks chan func(), ended chan struct{}) {
	runtime.LockOSThread() // and never unlocked: the thread ends with this goroutine
	defer close(ended)
	for task := range tasks {
		task()
	}
}

// end ends the thread, and with it the processes that were started on it.
func (f *forker) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.tasks != nil {
		close(f.tasks)
		<-f.ended
		f.tasks = nil
	}
}
