package rendezvous_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"restante/rendezvous"
)

// slowStore is a store in which looking for one kind of flaw takes nearly as long as a View may take.
type slowStore struct{ rendezvous.Store }

// slowTx is a transaction of it.
type slowTx struct {
	rendezvous.Tx
	until time.Time
}

// View implements [rendezvous.Store].
func (slowStore) View(_ context.Context, f func(rendezvous.Tx) error) error {
	return f(slowTx{until: time.Now().Add(time.Minute)})
}

// Flaws implements [rendezvous.Tx].
func (t slowTx) Flaws(rendezvous.FlawKind, rendezvous.UsageKeeping, int) ([]rendezvous.Flaw, error) {
	if time.Now().After(t.until) {
		return nil, rendezvous.ErrUnavailable
	}
	time.Sleep(50 * time.Second)
	return nil, nil
}

// TestEachKindOfFlawHasItsTime holds that the time of a View is not that of all kinds together.
func TestEachKindOfFlawHasItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		if _, err := rendezvous.Check(t.Context(), slowStore{}, rendezvous.DefaultConfig()); err != nil {
			t.Error(err)
		}
	})
}
