package torture

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The clock of the server can still be put where the nemesis puts it.
func TestWhereTheClockBelongs(t *testing.T) {
	source, err := os.ReadFile(filepath.Join("..", "..", "main.go"))
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(source), storageClock); n != 1 {
		t.Errorf("main.go has %q %d times", storageClock, n)
	}
}

func TestFaultsThatMustBeNamed(t *testing.T) {
	c := Config{}
	if steps(&c) || slows(&c) {
		t.Error("they are injected without being named")
	}
	c.Faults = []string{step, slowSync}
	if err := c.check(); err != nil || !steps(&c) || !slows(&c) {
		t.Errorf("they are not injected: %v", err)
	}
	c.Server = "restante"
	if c.check() == nil {
		t.Error("the clock of any program can be set")
	}
}
