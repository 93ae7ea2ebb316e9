package handlerstest

import "runtime"

// Heap returns how many bytes of the heap are in use.
func Heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
