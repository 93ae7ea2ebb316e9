package rendezvous

import (
	"errors"
	"slices"
)

// isolate does something with all items together. If that fails, it does it with ever fewer of them, because one may be at
// fault alone, as a row is that another program has damaged. It returns the items with which it was not done, and why. If
// the storage fails, it would fail for the others, too, so these are returned untried.
func isolate[T any](items []T, do func([]T) error) (failed []T, err error) {
	if len(items) == 0 {
		return nil, nil
	}
	switch err := do(items); {
	case err == nil:
		return nil, nil
	case len(items) == 1 || storageFailed(err):
		return items, err
	}
	half := len(items) / 2
	failed, err = isolate(items[:half], do)
	if storageFailed(err) {
		return slices.Concat(failed, items[half:]), err
	}
	others, otherErr := isolate(items[half:], do)
	if err == nil || storageFailed(otherErr) {
		err = otherErr
	}
	return slices.Concat(failed, others), err
}

// storageFailed reports whether what a client is told is the storage's fault, or that of a context that ended.
func storageFailed(err error) bool {
	failure, is := errors.AsType[*Failure](err)
	return isCanceled(err) || is && (failure.Code == StorageUnavailable || failure.Code == OutcomeUnknown)
}
