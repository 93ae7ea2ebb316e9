package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

const (
	// smallHeap is how much garbage may always pile up: collecting a small heap whenever it has doubled
	// takes a tenth of the processor.
	smallHeap = 64 << 20
	mostGC    = 400 // percent, see debug.SetGCPercent
	leastGC   = 100
)

// collectLessOften has garbage collected less often while there is little in the memory, and as
// usual when there is much. GOGC, if it is set, is obeyed.
func collectLessOften() {
	if os.Getenv("GOGC") != "" {
		return
	}
	debug.SetGCPercent(mostGC)
	runtime.SetFinalizer(&cycle{}, (*cycle).end)
}

// cycle lives until the next collection.
type cycle struct{ _ [64]byte }

// end sets when the next collection is.
func (*cycle) end() {
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(live)
	if bytes := live[0].Value.Uint64(); bytes > 0 {
		debug.SetGCPercent(int(min(mostGC, max(leastGC, 100*smallHeap/bytes))))
	}
	runtime.SetFinalizer(&cycle{}, (*cycle).end)
}
