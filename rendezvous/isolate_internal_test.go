package rendezvous

import (
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestIsolate has some items fail, each with all that is done in the same transaction, and the storage fail at some time.
// All others are done, once and in order, until the storage fails; what is not done is returned, in order.
func TestIsolate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		bad := rapid.SliceOfN(rapid.Bool(), 0, 40).Draw(t, "which items are damaged")
		tries := rapid.IntRange(1, 100).Draw(t, "tries until the storage fails")
		items := make([]int, len(bad))
		for i := range items {
			items[i] = i
		}
		var done []int
		failed, err := isolate(items, func(some []int) error {
			if tries--; tries < 0 {
				return storageUnavailable()
			}
			if slices.ContainsFunc(some, func(i int) bool { return bad[i] }) {
				return errors.New("damaged")
			}
			done = append(done, some...)
			return nil
		})
		if all := slices.Sorted(slices.Values(slices.Concat(done, failed))); !slices.Equal(all, items) {
			t.Fatalf("%v are done and %v returned, of %v", done, failed, items)
		}
		if !slices.IsSorted(done) || !slices.IsSorted(failed) {
			t.Errorf("%v are done and %v returned", done, failed)
		}
		if (err != nil) != (len(failed) > 0) || storageFailed(err) != (tries < 0) {
			t.Errorf("the error is %v, with %v returned", err, failed)
		}
		if tries >= 0 && slices.ContainsFunc(failed, func(i int) bool { return !bad[i] }) {
			t.Errorf("%v are returned, and the storage did not fail", failed)
		}
		if tries < -1 {
			t.Errorf("it is tried %d times after the storage has failed", -1-tries)
		}
	})
}
