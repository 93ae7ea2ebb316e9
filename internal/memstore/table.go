package memstore

import "slices"

// row is one row of a table.
type row interface{ madeBy() uint64 }

// made says which transaction made a row. Only that one may change it.
type made struct{ by uint64 }

func (m made) madeBy() uint64 { return m.by }

// table is rows in the order of their keys.
type table[K any, R row] struct {
	rows    []R
	by      uint64 // the transaction that owns the list of rows
	key     func(R) K
	compare func(a, b K) int
}

func (t *table[K, R]) find(k K) (int, bool) {
	low, high := 0, len(t.rows)
	for low < high {
		middle := (low + high) / 2
		c := t.compare(t.key(t.rows[middle]), k)
		if c == 0 {
			return middle, true
		}
		if c < 0 {
			low = middle + 1
		} else {
			high = middle
		}
	}
	return low, false
}

func (t *table[K, R]) get(k K) (r R, found bool) {
	i, found := t.find(k)
	if found {
		r = t.rows[i]
	}
	return r, found
}

// own makes the list of rows the transaction's own.
func (t *table[K, R]) own(tx uint64) {
	if t.by != tx {
		t.rows, t.by = append(make([]R, 0, len(t.rows)+4), t.rows...), tx
	}
}

// put adds a row, or replaces the one with its key.
func (t *table[K, R]) put(tx uint64, r R) {
	t.own(tx)
	i, found := t.find(t.key(r))
	if found {
		t.rows[i] = r
		return
	}
	t.rows = slices.Insert(t.rows, i, r)
}

// remove removes a row, and reports whether there was one.
func (t *table[K, R]) remove(tx uint64, k K) bool {
	i, found := t.find(k)
	if found {
		t.own(tx)
		t.rows = slices.Delete(t.rows, i, i+1)
	}
	return found
}
