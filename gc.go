package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// How much garbage may pile up before it is collected. To collect a small heap whenever it has doubled takes a
// tenth of the processor; to have a large one double, of clients that wait, takes more memory than they do.
const (
	mostGarbage  = 64 << 20 // while there is little
	leastGarbage = 16 << 20 // when there is more
	mostGC       = 400      // percent of what is there, see debug.SetGCPercent
	leastGC      = 20
)

// boundGarbage has garbage collected less often than usual while there is little in the memory, and more
// often when there is much. GOGC, if it is set, is obeyed.
func boundGarbage() {
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
	if bytes := int64(live[0].Value.Uint64()); bytes > 0 { // #nosec G115 -- it is in the memory
		allowed := max(leastGarbage, mostGarbage-bytes)
		debug.SetGCPercent(int(max(leastGC, min(mostGC, 100*allowed/bytes))))
	}
	runtime.SetFinalizer(&cycle{}, (*cycle).end)
}
