package webhooks

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
)

func TestAPanicIsSurvivedAndLogged(t *testing.T) {
	var log bytes.Buffer
	s := &Sender{log: slog.New(slog.NewTextHandler(&log, nil))}
	s.survive(func() { panic("a poisoned event") })
	if !strings.Contains(log.String(), "a poisoned event") || !strings.Contains(log.String(), "stack=") {
		t.Errorf("the log says %q", log.String())
	}
}
