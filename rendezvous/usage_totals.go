package rendezvous

import (
	"cmp"
	"maps"
	"slices"
	"sync"
)

// UsageTotal is how many things of a kind ended with a result.
type UsageTotal struct {
	Kind   Kind
	Result Result
	Count  int64
}

// UsageTotals are counts of things that ended, by kind and result. The Count of a key is 0.
type UsageTotals map[UsageTotal]int64

// SumTotals adds up counts.
func SumTotals(counts []UsageTotal) UsageTotals {
	totals := UsageTotals{}
	for _, c := range counts {
		totals[UsageTotal{Kind: c.Kind, Result: c.Result}] += c.Count
	}
	return totals
}

// Of returns how many things of a kind ended with a result.
func (u UsageTotals) Of(kind Kind, result Result) int64 {
	return u[UsageTotal{Kind: kind, Result: result}]
}

// List returns the counts, sorted by kind and result.
func (u UsageTotals) List() []UsageTotal {
	list := make([]UsageTotal, 0, len(u))
	for of, count := range u {
		list = append(list, UsageTotal{of.Kind, of.Result, count})
	}
	slices.SortFunc(list, func(a, b UsageTotal) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Result, b.Result))
	})
	return list
}

// endedHere counts what ended in this process since it started.
type endedHere struct {
	mu     sync.Mutex
	totals UsageTotals
}

func (e *endedHere) add(kind Kind, result Result) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.totals == nil {
		e.totals = UsageTotals{}
	}
	e.totals[UsageTotal{Kind: kind, Result: result}]++
}

// copied returns a copy of the counts.
func (e *endedHere) copied() UsageTotals {
	e.mu.Lock()
	defer e.mu.Unlock()
	copied := UsageTotals{}
	maps.Copy(copied, e.totals)
	return copied
}
