package handlers

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestOneAsksForReadiness has many ask at once whether the server is ready, of which the first leaves. The storage is asked
// once, and all others get its answer; a failure is not remembered.
func TestOneAsksForReadiness(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r readiness
		var asked atomic.Int64
		for _, want := range []error{errors.New("down"), nil} {
			asked.Store(0)
			ask := func(ctx context.Context) <-chan error {
				answer := make(chan error, 1)
				go func() {
					answer <- r.ask(ctx, func(ctx context.Context) error {
						asked.Add(1)
						select {
						case <-ctx.Done():
							return ctx.Err()
						case <-time.After(time.Second):
							return want
						}
					}, func() error { return nil })
				}()
				synctest.Wait()
				return answer
			}
			first, leave := context.WithCancel(t.Context())
			ask(first)
			var others []<-chan error
			for range 10 {
				others = append(others, ask(t.Context()))
			}
			leave()
			for _, answer := range others {
				if got := <-answer; !errors.Is(got, want) {
					t.Errorf("it is answered %v, want %v", got, want)
				}
			}
			if n := asked.Load(); n != 1 {
				t.Errorf("the storage is asked %d times", n)
			}
		}
		if err := r.ask(t.Context(), func(context.Context) error { return errors.New("asked again") }, func() error { return nil }); err != nil {
			t.Error(err)
		}
	})
}

// A question that panics is no answer: the server does not count as ready because of it.
func TestAReadinessThatBreaksDownIsNotRemembered(t *testing.T) {
	var r readiness
	known := func() error { return nil }
	func() {
		defer func() { _ = recover() }()
		_ = r.ask(t.Context(), func(context.Context) error { panic("on purpose") }, known)
	}()
	down := errors.New("down")
	if err := r.ask(t.Context(), func(context.Context) error { return down }, known); !errors.Is(err, down) {
		t.Errorf("it is answered %v, want %v", err, down)
	}
}
