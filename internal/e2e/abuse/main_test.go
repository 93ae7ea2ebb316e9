package abuse_test

import (
	"os"
	"testing"

	"restante/internal/e2e"
)

func TestMain(m *testing.M) { os.Exit(e2e.Main(m)) }
