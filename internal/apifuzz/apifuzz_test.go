package apifuzz_test

import (
	"flag"
	"fmt"
	"os"
	"testing"
	"time"

	"restante/handlers/handlerstest"
	"restante/internal/apifuzz"
)

var (
	requests = flag.Int64("requests", 2_000, "how many requests are sent")
	seed     = flag.Uint64("seed", 1, "of the choices")
	first    = flag.Uint64("round", 0, "the first round")
	sqlite   = flag.Bool("sqlite", false, "the store is SQLite, instead of memory")
	progress = flag.String("progress", "", "a file that tells how far it is")
)

func TestMain(m *testing.M) { handlerstest.Main(m) }

// Whatever is asked, the answer is in the contract. For more: make requests REQUESTS=10000000.
func TestRequests(t *testing.T) {
	began := time.Now()
	o := apifuzz.Options{Seed: *seed, First: *first, Requests: *requests, SQLite: *sqlite}
	if *progress != "" {
		o.Progress = func(r *apifuzz.Report) {
			_ = os.WriteFile(*progress, fmt.Appendf(nil, "%v: %v\n", time.Since(began), r), 0o600)
		}
	}
	r, err := apifuzz.Run(t, o)
	took := time.Since(began)
	t.Logf("%v", &r)
	t.Logf("%v: %.0f a second", took, float64(r.Requests)/took.Seconds())
	if err != nil {
		t.Fatal(err)
	}
}
