package handlers

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestOneHasTheAnswerMade has many ask at once, of which the first leaves. The answer is made once, and all others get
// it; what is not to be kept is not remembered.
func TestOneHasTheAnswerMade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r remembered[error]
		var made atomic.Int64
		for _, want := range []error{errors.New("down"), nil} {
			made.Store(0)
			ask := func(ctx context.Context) <-chan error {
				answered := make(chan error, 1)
				go func() {
					answer, err := r.get(ctx, time.Second, func(ctx context.Context) (answer error, keep bool) {
						made.Add(1)
						select {
						case <-ctx.Done():
							return ctx.Err(), false
						case <-time.After(time.Second):
							return want, want == nil
						}
					})
					answered <- errors.Join(answer, err)
				}()
				synctest.Wait()
				return answered
			}
			first, leave := context.WithCancel(t.Context())
			ask(first)
			var others []<-chan error
			for range 10 {
				others = append(others, ask(t.Context()))
			}
			leave()
			for _, answered := range others {
				if got := <-answered; !errors.Is(got, want) {
					t.Errorf("it is answered %v, want %v", got, want)
				}
			}
			if n := made.Load(); n != 1 {
				t.Errorf("the answer is made %d times", n)
			}
		}
		again := func(context.Context) (answer error, keep bool) { return errors.New("asked again"), false }
		if answer, err := r.get(t.Context(), time.Second, again); answer != nil || err != nil {
			t.Error(answer, err)
		}
		time.Sleep(time.Second)
		if answer, err := r.get(t.Context(), time.Second, again); answer == nil || err != nil {
			t.Errorf("a second later, it is answered %v (%v)", answer, err)
		}
	})
}

// An answer that panics while it is made is none: nothing is remembered, and those that wait for it are told.
func TestAnAnswerThatBreaksDownIsNotRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r remembered[error]
		go func() {
			defer func() { _ = recover() }()
			_, _ = r.get(t.Context(), time.Second, func(context.Context) (answer error, keep bool) {
				time.Sleep(time.Second)
				panic("on purpose")
			})
		}()
		synctest.Wait()
		down := errors.New("down")
		ask := func() (answer, err error) {
			return r.get(t.Context(), time.Second, func(context.Context) (answer error, keep bool) { return down, false })
		}
		if _, err := ask(); !errors.Is(err, errNoAnswer) {
			t.Errorf("who waited is answered %v", err)
		}
		if answer, err := ask(); !errors.Is(answer, down) || err != nil {
			t.Errorf("it is answered %v (%v), want %v", answer, err, down)
		}
	})
}
