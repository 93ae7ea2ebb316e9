// Package goruntime sets up the Go runtime for this server: how often garbage is collected, and, in a build with
// -tags profile, where profiles are served.
//
// These settings hold for the whole process, so only main may use the package.
package goruntime

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// How much garbage may accumulate before a collection. To collect a small heap each time it doubles takes a tenth of
// the processor's time. To let a large heap double, when it holds waiting clients, takes more memory than they do.
const (
	maxGarbage   = 64 << 20 // while the live heap is small
	minGarbage   = 16 << 20 // once it is larger
	maxGCPercent = 400      // percent of the live heap, see debug.SetGCPercent
	minGCPercent = 20
)

// Free memory above freeThreshold goes back to the system, at most once per freeInterval. After a burst, the
// runtime would keep most of it.
const (
	freeThreshold = 8 << 20
	freeInterval  = 30 * time.Second
)

// BoundGarbage has the runtime collect garbage less often than usual while the heap is small, and more often
// when it is large. It changes nothing if GOGC is set.
func BoundGarbage() {
	if os.Getenv("GOGC") != "" {
		return
	}
	debug.SetGCPercent(maxGCPercent)
	watch(&pacer{freed: time.Now()})
}

// pacer is the state that is kept from one collection to the next.
type pacer struct{ freed time.Time }

// watch calls p.collected at the end of the next collection, and of each one after it.
func watch(p *pacer) {
	runtime.SetFinalizer(&cycle{}, func(*cycle) {
		p.collected()
		watch(p)
	})
}

// cycle lives until the next collection.
type cycle struct{ _ [64]byte }

// collected decides when the next collection starts.
func (p *pacer) collected() {
	samples := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/heap/free:bytes"}}
	metrics.Read(samples)
	live, free := int64(samples[0].Value.Uint64()), int64(samples[1].Value.Uint64()) // #nosec G115 -- the sizes fit in memory
	if live > 0 {
		allowed := max(minGarbage, maxGarbage-live)
		debug.SetGCPercent(int(max(minGCPercent, min(maxGCPercent, 100*allowed/live))))
	}
	if free > freeThreshold && time.Since(p.freed) > freeInterval {
		p.freed = time.Now()
		go debug.FreeOSMemory() // it starts a collection, which calls collected again
	}
}
