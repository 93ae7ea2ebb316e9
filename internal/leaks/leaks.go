// Package leaks has a package's tests fail if they leave goroutines behind. It knows nothing of what they test.
package leaks

import (
	"fmt"
	"os"
	"time"

	"go.uber.org/goleak"
)

// patience is how long goroutines may take to end after the tests. Some end by themselves: net/http keeps a connection
// for half a second whose client may still send. On a busy machine that takes longer.
const patience = time.Minute

// Run runs the tests, and returns the exit code. What is left it writes to the standard error.
func Run(tests interface{ Run() int }) int {
	code := tests.Run()
	if code != 0 {
		return code
	}
	err := goleak.Find() // which tries for nearly half a second
	for deadline := time.Now().Add(patience); err != nil && time.Now().Before(deadline); {
		err = goleak.Find()
	}
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}
