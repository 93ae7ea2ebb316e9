package units_test

import (
	"testing"

	"restante/internal/units"
)

func TestSpan(t *testing.T) {
	for ms, want := range map[int64]string{
		-5: "0 ms", 0: "0 ms", 999: "999 ms", 1000: "1 s", 59_999: "59 s", 60_000: "1 min", 7_199_999: "119 min", 7_200_000: "2 h",
		172_799_999: "47 h", 172_800_000: "2 days",
	} {
		if got := units.Span(ms); got != want {
			t.Errorf("%d ms is %q, want %q", ms, got, want)
		}
	}
}

func TestSize(t *testing.T) {
	for n, want := range map[int64]string{0: "0 bytes", 1023: "1023 bytes", 1024: "1.0 KiB", 1536 << 10: "1.5 MiB", 3 << 30: "3.0 GiB"} {
		if got := units.Size(n); got != want {
			t.Errorf("%d is %q, want %q", n, got, want)
		}
	}
}
