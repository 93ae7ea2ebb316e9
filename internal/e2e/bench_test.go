package e2e_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"restante/internal/bench"
	"restante/internal/e2e"
)

// measured runs bench and reads its report. It gives bench the time that it takes, on this machine, until something is done.
func measured(t *testing.T, arguments ...string) (report bench.Report) {
	t.Helper()
	for duration := 200 * time.Millisecond; duration < e2e.Limit; duration *= 4 {
		stdout, stderr, code := e2e.Run(t, nil, append([]string{"bench", "--json", "--duration=" + duration.String(), "--warmup=0s", "--pairs=3"}, arguments...)...)
		if err := json.Unmarshal([]byte(stdout), &report); err != nil || code != 0 {
			t.Fatalf("bench %q ends with %d: %v\n%s%s", arguments, code, err, stdout, stderr)
		}
		if last := report.Targets[len(report.Targets)-1].Median; last.Checked > 0 || last.Memory != nil {
			break
		}
	}
	return report
}

func TestBench(t *testing.T) {
	t.Parallel()
	s := e2e.Serve(t, "--request-rate=0")
	for _, protocol := range []string{"poll", "sse", "socket", "wormhole"} {
		for _, scenario := range []string{"rendezvous", "stream", "allocate"} {
			t.Run(scenario+" over "+protocol, func(t *testing.T) {
				m := measured(t, scenario, s.URL(), "--protocol="+protocol, "--taken=20").Targets[0].Median
				if m.Checked == 0 || m.Faults > 0 {
					t.Errorf("%+v", m)
				}
			})
		}
	}
	t.Run("several in flight", func(t *testing.T) {
		t.Parallel()
		for _, protocol := range []string{"socket", "wormhole"} {
			if m := measured(t, "stream", s.URL(), "--protocol="+protocol, "--in-flight=16").Targets[0].Median; m.Checked == 0 || m.Faults > 0 {
				t.Errorf("%s: %+v", protocol, m)
			}
		}
	})
	t.Run("two servers in turn", func(t *testing.T) {
		t.Parallel()
		r := measured(t, "stream", s.URL(), "--against="+s.URL(), "--rounds=3")
		if len(r.Targets) != 2 || len(r.Targets[1].Rounds) != 3 || r.Targets[1].Median.Checked == 0 {
			t.Errorf("%+v", r)
		}
	})
}

func TestBenchOfWaitingClients(t *testing.T) {
	t.Parallel()
	s := e2e.Serve(t, "--request-rate=0")
	for _, protocol := range []string{"poll", "sse", "socket", "wormhole"} {
		m := measured(t, "idle", s.URL(), "--protocol="+protocol, "--pairs=20").Targets[0].Median.Memory
		if m == nil || m.Clients != 20 || m.Before == 0 || m.After == 0 {
			t.Errorf("%s: %+v", protocol, m)
		}
	}
}

func TestBenchSaysWhatToDo(t *testing.T) {
	t.Parallel()
	s := e2e.Serve(t, "--request-rate=5", "--request-burst=10")
	for want, arguments := range map[string][]string{
		"--request-rate=0":            {"rendezvous", s.URL()},
		"connection refused":          {"stream", "http://" + e2e.FreeAddress(t)},
		"not the address of a server": {"stream", "localhost"},
		"--in-flight must be 1":       {"stream", s.URL(), "--in-flight=2"},
	} {
		_, stderr, code := e2e.Run(t, nil, append([]string{"bench", "--duration=1s"}, arguments...)...)
		if code != 1 || !strings.Contains(stderr, want) {
			t.Errorf("bench %q ends with %d, want %q:\n%s", arguments, code, want, stderr)
		}
	}
}
