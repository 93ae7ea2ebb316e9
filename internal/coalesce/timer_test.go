package coalesce_test

import (
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"restante/internal/coalesce"
)

func TestTimersFireTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		afterFunc := coalesce.AfterFunc(100 * time.Millisecond)
		fired := make(chan time.Duration)
		for _, d := range []time.Duration{901 * time.Millisecond, 950 * time.Millisecond, time.Second, 1001 * time.Millisecond} {
			afterFunc(d, func() { fired <- time.Since(began) })
		}
		stop := afterFunc(950*time.Millisecond, func() { t.Error("one that was stopped fires") })
		if !stop() || stop() {
			t.Error("it is not stopped, or twice")
		}
		for i, want := range []time.Duration{time.Second, time.Second, time.Second, 1100 * time.Millisecond} {
			if got := <-fired; got != want {
				t.Errorf("timer %d fires after %v, want %v", i, got, want)
			}
		}
	})
}

func TestATimerIsNeverEarlyAndLateByLessThanTheSlack(t *testing.T) {
	rapid.Check(t, func(drawn *rapid.T) {
		slack := time.Duration(rapid.Int64Range(1, int64(time.Second)).Draw(drawn, "slack"))
		passed := time.Duration(rapid.Int64Range(0, int64(time.Minute)).Draw(drawn, "passed"))
		want := time.Duration(rapid.Int64Range(0, int64(time.Minute)).Draw(drawn, "time"))
		synctest.Test(t, func(t *testing.T) {
			afterFunc := coalesce.AfterFunc(slack)
			<-time.After(passed)
			began, fired := time.Now(), make(chan struct{})
			afterFunc(want, func() { close(fired) })
			<-fired
			if late := time.Since(began) - want; late < 0 || late >= slack {
				t.Errorf("it fires %v after its time, with a slack of %v", late, slack)
			}
		})
	})
}
