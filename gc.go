package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// How much garbage may pile up before it is collected. To collect a small heap whenever it has doubled takes a
// tenth of the processor; to have a large one double, of clients that wait, takes more memory than they do.
const (
	mostGarbage  = 64 << 20 // while there is little
	leastGarbage = 16 << 20 // when there is more
	mostGC       = 400      // percent of what is there, see debug.SetGCPercent
	leastGC      = 20
)

// What a burst took is given back, where that is much and not too often: the runtime would keep most of it.
const (
	tidyFrom  = 8 << 20
	tidyEvery = 30 * time.Second
)

// boundGarbage has garbage collected less often than usual while there is little in the memory, and more
// often when there is much. GOGC, if it is set, is obeyed.
func boundGarbage() {
	if os.Getenv("GOGC") != "" {
		return
	}
	debug.SetGCPercent(mostGC)
	watchGarbage(&garbage{tidied: time.Now()})
}

// garbage is what is known of it from one collection to the next.
type garbage struct{ tidied time.Time }

// watchGarbage has g look at the end of the next collection, and of each after that.
func watchGarbage(g *garbage) {
	runtime.SetFinalizer(&cycle{}, func(*cycle) {
		g.collected()
		watchGarbage(g)
	})
}

// cycle lives until the next collection.
type cycle struct{ _ [64]byte }

// collected sets when the next collection is.
func (g *garbage) collected() {
	found := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/heap/free:bytes"}}
	metrics.Read(found)
	live, free := int64(found[0].Value.Uint64()), int64(found[1].Value.Uint64()) // #nosec G115 -- it is in the memory
	if live > 0 {
		allowed := max(leastGarbage, mostGarbage-live)
		debug.SetGCPercent(int(max(leastGC, min(mostGC, 100*allowed/live))))
	}
	if free > tidyFrom && time.Since(g.tidied) > tidyEvery {
		g.tidied = time.Now()
		go debug.FreeOSMemory() // which collects, and so comes here again
	}
}
