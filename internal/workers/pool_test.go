package workers_test

import (
	"bytes"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"

	"restante/internal/leaks"
	"restante/internal/workers"
)

func TestMain(m *testing.M) { leaks.Run(m) }

func TestAllThatRunsRunsAtOnce(t *testing.T) {
	synctest.Test(t, func(*testing.T) {
		done := make(chan struct{})
		defer close(done)
		pool := workers.NewPool(2, done)
		for range 3 { // the goroutines that are used again run as many as new ones
			var began sync.WaitGroup
			goOn := make(chan struct{})
			for range 10 {
				began.Add(1)
				pool.Run(func() {
					began.Done()
					<-goOn
				})
			}
			began.Wait()
			close(goOn)
			synctest.Wait()
		}
	})
}

// loops returns how many goroutines a pool has. The program may have others, which come and go.
func loops() int {
	stacks := make([]byte, 1<<20)
	return bytes.Count(stacks[:runtime.Stack(stacks, true)], []byte("workers.(*Pool).loop("))
}

func TestAsManyGoroutinesRestAsMay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		done := make(chan struct{})
		pool := workers.NewPool(4, done)
		goOn := make(chan struct{})
		for range 10 {
			pool.Run(func() { <-goOn })
		}
		close(goOn)
		synctest.Wait()
		if n := loops(); n != 4 {
			t.Errorf("%d goroutines rest, want 4", n)
		}
		for range 20 {
			pool.Run(func() {})
			synctest.Wait()
		}
		if n := loops(); n != 4 {
			t.Errorf("%d goroutines rest after more work, want 4", n)
		}
		close(done)
		synctest.Wait()
		if n := loops(); n != 0 {
			t.Errorf("%d goroutines are left at the end, want none", n)
		}
	})
}

// A function that ends its goroutine takes nothing else with it.
func TestAFunctionMayEndItsGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		done := make(chan struct{})
		defer close(done)
		pool := workers.NewPool(1, done)
		ran := 0
		for range 3 {
			pool.Run(func() {
				ran++
				runtime.Goexit()
			})
			synctest.Wait()
		}
		if ran != 3 {
			t.Errorf("%d of 3 ran", ran)
		}
	})
}
