package page_test

import (
	"bufio"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// logsNetwork has a browser write down what its network does, and has a test that failed tell which requests were not answered, and
// how far they came: the server knows nothing of one that the browser never sent. It is called before what ends the browser is
// registered.
func logsNetwork(t *testing.T) chromedp.ExecAllocatorOption {
	t.Helper()
	file := filepath.Join(t.TempDir(), "network.json")
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("requests of the browser that were not answered:\n%s", unanswered(file))
		}
	})
	return chromedp.Flag("log-net-log", file)
}

// unanswered returns the events of the requests in Chromium's log of its network that had no answer. The log has the names of its
// numbers in its first line, and then a line for each event.
func unanswered(file string) string {
	f, err := os.Open(file)
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	var names struct {
		Constants struct {
			Events  map[string]int `json:"logEventTypes"`
			Phases  map[string]int `json:"logEventPhase"`
			Sources map[string]int `json:"logSourceType"`
		} `json:"constants"`
	}
	events := map[int][]string{} // by source
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		line := strings.TrimSuffix(lines.Text(), ",")
		if names.Constants.Events == nil {
			_ = json.Unmarshal([]byte(line+"}"), &names)
			continue
		}
		var e struct {
			Time   string
			Type   int
			Phase  int
			Source struct{ ID, Type int }
			Params json.RawMessage
		}
		if json.Unmarshal([]byte(line), &e) != nil || e.Source.Type != names.Constants.Sources["URL_REQUEST"] {
			continue
		}
		name, phase := nameOf(names.Constants.Events, e.Type), nameOf(names.Constants.Phases, e.Phase)
		if name == "REQUEST_ALIVE" && phase == "PHASE_END" && !strings.Contains(string(e.Params), `"net_error":-3`) { // which is how the end of the browser ends one
			delete(events, e.Source.ID)
			continue
		}
		events[e.Source.ID] = append(events[e.Source.ID], e.Time+" "+name+" "+phase+" "+string(e.Params[:min(len(e.Params), 200)]))
	}
	if names.Constants.Events == nil {
		return "this is no log of Chromium's"
	}
	var b strings.Builder
	for _, id := range slices.Sorted(maps.Keys(events)) {
		b.WriteString(strings.Join(events[id], "\n") + "\n\n")
	}
	return b.String()
}

func nameOf(names map[string]int, number int) string {
	for name, n := range names {
		if n == number {
			return name
		}
	}
	return ""
}

// TestNetworkLog holds that a request which is not answered is told, and one that is, is not.
func TestNetworkLog(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "log")
	log := `{"constants":{"logEventTypes":{"REQUEST_ALIVE":2,"CACHE":3},"logEventPhase":{"PHASE_BEGIN":1,"PHASE_END":2},"logSourceType":{"URL_REQUEST":1,"SOCKET":5}},
"events": [
{"params":{"url":"https://a/"},"phase":1,"source":{"id":7,"type":1},"time":"10","type":2},
{"params":{"url":"https://b/"},"phase":1,"source":{"id":8,"type":1},"time":"11","type":2},
{"phase":1,"source":{"id":9,"type":5},"time":"11","type":3},
{"phase":1,"source":{"id":8,"type":1},"time":"12","type":3},
{"phase":2,"source":{"id":7,"type":1},"time":"13","type":2},
{"params":{"net_error":-3},"phase":2,"source":{"id":8,"type":1},"time":"14","type":2},
`
	if err := os.WriteFile(file, []byte(log), 0o600); err != nil {
		t.Fatal(err)
	}
	want := "11 REQUEST_ALIVE PHASE_BEGIN {\"url\":\"https://b/\"}\n12 CACHE PHASE_BEGIN \n14 REQUEST_ALIVE PHASE_END {\"net_error\":-3}\n\n"
	if got := unanswered(file); got != want {
		t.Errorf("%q is told, want %q", got, want)
	}
}
