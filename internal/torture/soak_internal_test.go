package torture

import (
	"bytes"
	"strings"
	"testing"
)

// TestSamples holds how a server's metrics are read: deliveries of all transports together, since the last sample.
func TestSamples(t *testing.T) {
	t.Parallel()
	values, first := readMetrics("# HELP go_goroutines n\ngo_goroutines 25\n" +
		"restante_delivery_duration_seconds_bucket{transport=\"poll\",le=\"0.1\"} 10\nrestante_delivery_duration_seconds_sum{transport=\"poll\"} 0.5\n" +
		"restante_delivery_duration_seconds_count{transport=\"poll\"} 10\n")
	_, second := readMetrics("restante_delivery_duration_seconds_bucket{transport=\"poll\",le=\"0.1\"} 10\n" +
		"restante_delivery_duration_seconds_bucket{transport=\"poll\",le=\"0.5\"} 14\nrestante_delivery_duration_seconds_sum{transport=\"poll\"} 1.5\n" +
		"restante_delivery_duration_seconds_count{transport=\"poll\"} 14\nrestante_delivery_duration_seconds_sum{transport=\"stream\"} 1\n" +
		"restante_delivery_duration_seconds_count{transport=\"stream\"} 0\n")
	if values["go_goroutines"] != 25 {
		t.Errorf("read %v", values)
	}
	if mean, p99 := second.since(first); mean != 0.5 || p99 != 0.5 {
		t.Errorf("deliveries took %v in the mean, and 99 %% at most %v; want 0.5, 0.5", mean, p99)
	}
	if mean, p99 := first.since(second); mean != 0.05 || p99 != 0.1 {
		t.Errorf("after a restart: %v, %v; want 0.05, 0.1", mean, p99)
	}
}

// TestPlot holds that each series of a soak's file is drawn.
func TestPlot(t *testing.T) {
	t.Parallel()
	var picture bytes.Buffer
	line := strings.Repeat(",7", len(soakColumns)-1)
	if err := Plot(strings.NewReader(strings.Join(soakColumns, ",")+"\n5"+line+"\n10"+line+"\n"), &picture); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(picture.String(), "<polyline"); n != len(soakColumns)-1 {
		t.Errorf("%d lines are drawn, want %d", n, len(soakColumns)-1)
	}
	if err := Plot(strings.NewReader("seconds\n"), &picture); err == nil {
		t.Error("nothing was drawn without an error")
	}
}
