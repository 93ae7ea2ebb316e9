package operator_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"restante/internal/operator"
)

// A report that takes longer than the command waits is no reason to look for a server that is down.
func TestUsageThatTakesTooLong(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	defer server.Close()
	c := operator.UsageCommand{Days: 7}
	c.URL, c.Timeout = server.URL, 50*time.Millisecond
	err := c.Print(t.Context(), io.Discard)
	if err == nil || !strings.Contains(err.Error(), "not complete within 50ms; give it longer with --timeout") {
		t.Errorf("it says %v", err)
	}
}
