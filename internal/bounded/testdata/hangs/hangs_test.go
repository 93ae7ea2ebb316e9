// Package hangs has a test that hangs, on purpose.
package hangs

import (
	"fmt"
	"os"
	"os/exec"
	"testing"
)

// TestThatHangs leaves a folder, and a process that has a process in a session of its own, says what it leaves in the file HANGS_LEFT, and
// does not end.
func TestThatHangs(t *testing.T) {
	dir, err := os.MkdirTemp("", "hangs")
	if err != nil {
		t.Fatal(err)
	}
	said := os.Getenv("HANGS_LEFT")
	cmd := exec.Command("sh", "-c", `setsid sleep 1234 & echo "$! $$ $1" >"$0.new"; mv "$0.new" "$0"; exec sleep 1234`, said, dir)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	fmt.Println("it hangs")
	select {}
}
