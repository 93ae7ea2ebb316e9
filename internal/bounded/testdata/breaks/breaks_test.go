// Package breaks has a test that ends as the race detector does when it breaks down, on purpose.
package breaks

import (
	"fmt"
	"os"
	"strconv"
	"testing"
)

// TestThatBreaks breaks down in the first BREAKS runs. The file BREAKS_RUNS has a byte for each run. BREAKS_SAYS is what is
// printed before. It is a message of the detector, or with BREAKS_BY_SIGNAL one of the runtime.
func TestThatBreaks(t *testing.T) {
	runs, err := os.OpenFile(os.Getenv("BREAKS_RUNS"), os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer runs.Close()
	before, err := runs.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := runs.WriteString("."); err != nil {
		t.Fatal(err)
	}
	if breaks, _ := strconv.ParseInt(os.Getenv("BREAKS"), 10, 64); before.Size() >= breaks {
		return
	}
	if says := os.Getenv("BREAKS_SAYS"); says != "" {
		fmt.Println(says)
	}
	if os.Getenv("BREAKS_BY_SIGNAL") != "" {
		fmt.Println("SIGSEGV: segmentation violation\n\nruntime.(*timer).maybeRunChan(0xc000176e80, 0xc000176e00)")
		os.Exit(2) //nolint:revive // as the runtime does
	}
	fmt.Println(`ThreadSanitizer: CHECK failed: tsan_rtl.cpp:346 "((exiting || thr->fast_state.epoch() == kEpochLast)) != (0)" (0x0, 0x0) (tid=1)`)
	os.Exit(66) //nolint:revive // as the race detector does
}
