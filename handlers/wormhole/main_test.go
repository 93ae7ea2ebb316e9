package wormhole_test

import (
	"testing"

	"restante/handlers/handlerstest"
)

func TestMain(m *testing.M) { handlerstest.Main(m) }
