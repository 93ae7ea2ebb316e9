//go:build !unix

package simulation_test

import "time"

var began = time.Now()

// cpuTime returns the time since the start: an upper bound of the processor time of one goroutine.
func cpuTime() time.Duration { return time.Since(began) }
