// Package testgate lets as many heavy tests run at once as the machine has cores, in all test
// binaries together: those that start servers, browsers or databases. A test that starts more than the machine
// can run does not fail, but everything in it takes longer, until something else gives up waiting.
//
// A slot is a name that one process has at a time. The system frees it when the process ends, however it ends.
package testgate

import (
	"flag"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// look is how often a test that waits looks for a free slot.
const look = 20 * time.Millisecond

// holders are the tests of this process that have a slot, by name.
var holders = struct {
	sync.Mutex
	of map[string]*holder
}{of: map[string]*holder{}}

type holder struct {
	once  sync.Once // takes the slot
	slot  io.Closer
	err   error
	users int // guarded by the mutex of holders
}

// Main has as many tests of this process run at once as want to, and so has the gate alone decide: a test that waits for
// a slot would otherwise keep a place from the subtests of one that has a slot, and both wait for ever. It runs the tests, and returns
// the exit code.
func Main(m *testing.M) int {
	flag.Parse()
	if parallel := flag.Lookup("test.parallel"); parallel.Value.String() == parallel.DefValue {
		if err := parallel.Value.Set("1000000"); err != nil {
			panic(err)
		}
	}
	return m.Run()
}

// Enter waits until there is a slot for the test, and holds it until the test ends. A subtest of
// a test that has one shares it, or the test would wait for its subtests, and they for a slot, for ever. There is no limit of the
// wait: what it waits for are tests, which have limits of their own.
func Enter(tb testing.TB) {
	tb.Helper()
	name, h := join(tb.Name())
	tb.Cleanup(func() { leave(name, h) })
	h.once.Do(func() { h.slot, h.err = take("slot", runtime.NumCPU()) })
	if h.err != nil {
		tb.Fatal(h.err)
	}
}

// join finds the test, or the nearest one above it that has a slot.
func join(test string) (name string, h *holder) {
	holders.Lock()
	defer holders.Unlock()
	for name = test; ; {
		if h = holders.of[name]; h != nil {
			break
		}
		end := strings.LastIndexByte(name, '/')
		if end < 0 {
			name, h = test, &holder{}
			holders.of[name] = h
			break
		}
		name = name[:end]
	}
	h.users++
	return name, h
}

// Reserve reports whether the test gets something of this name to itself, of all tests in all test binaries. It has it until it ends.
func Reserve(tb testing.TB, name string) bool {
	tb.Helper()
	f, err := try(name)
	if err != nil {
		tb.Fatal(err)
	}
	if f == nil {
		return false
	}
	tb.Cleanup(func() { _ = f.Close() }) // which unlocks it
	return true
}

func leave(name string, h *holder) {
	holders.Lock()
	defer holders.Unlock()
	if h.users--; h.users > 0 {
		return
	}
	delete(holders.of, name)
	if h.slot != nil {
		_ = h.slot.Close() // which unlocks it
	}
}

// take waits for one of so many slots.
func take(gate string, slots int) (io.Closer, error) {
	for {
		for i := range slots {
			if f, err := try(fmt.Sprint(gate, "-", i)); f != nil || err != nil {
				return f, err
			}
		}
		time.Sleep(look)
	}
}
