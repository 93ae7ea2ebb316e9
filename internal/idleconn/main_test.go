package idleconn_test

import (
	"os"
	"testing"

	"restante/internal/leaks"
)

func TestMain(m *testing.M) { os.Exit(leaks.Run(m)) }
