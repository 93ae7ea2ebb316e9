package webhooks_test

import (
	"os"
	"testing"

	"restante/internal/testgate"
	"restante/repo/pgtest"
)

func TestMain(m *testing.M) {
	code := testgate.Main(m)
	pgtest.Stop()
	os.Exit(code)
}
