package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// bareServer is set in the environment of a process that is the server of [BenchmarkBareExchanges].
const bareServer = "RESTANTE_BENCH_BARE_SERVER"

func TestMain(m *testing.M) {
	if os.Getenv(bareServer) != "" {
		serveBare()
		return
	}
	os.Exit(m.Run())
}

// serveBare is a server that stores nothing and checks nothing: it decodes a message and says where it is, and encodes one. It
// tells its address, and ends with its standard input.
func serveBare() {
	mux := http.NewServeMux()
	answer := func(w http.ResponseWriter, content any) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(content)
	}
	var position atomic.Int64
	mux.HandleFunc("POST /", func(w http.ResponseWriter, r *http.Request) {
		var draft struct{ Phase, Body string }
		if err := json.NewDecoder(r.Body).Decode(&draft); err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		answer(w, map[string]any{"position": position.Add(1), "received": time.Now()})
	})
	body := strings.Repeat("b", 256)
	mux.HandleFunc("GET /", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, struct {
			Frames []frame `json:"frames"`
		}{[]frame{{Seq: int(position.Load()), Type: "message", Body: body}}})
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	_, _ = os.Stdout.WriteString(l.Addr().String() + "\n")
	go func() { _ = http.Serve(l, mux) }()
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// BenchmarkBareExchanges is what a message over long-poll would cost if there were nothing but HTTP and JSON: a POST and a GET
// for each message, of ten pairs that do not wait for each other. The server is another process.
func BenchmarkBareExchanges(b *testing.B) {
	server := exec.Command(os.Args[0])
	server.Env = append(os.Environ(), bareServer+"=1")
	in, err := server.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := server.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := server.Start(); err != nil {
		b.Fatal(err)
	}
	defer func() { _ = in.Close(); _ = server.Wait() }()
	var address string
	if _, err := fmt.Fscanln(out, &address); err != nil {
		b.Fatal(err)
	}
	target := &url.URL{Scheme: "http", Host: address}
	draft := []byte(`{"phase":"p","body":"` + strings.Repeat("b", 256) + `"}`)
	const header = "Authorization: Bearer some-session-id-of-a-usual-length-in-this-place\r\n"
	var left atomic.Int64
	left.Store(2 * int64(b.N))
	var clients sync.WaitGroup
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	b.ResetTimer()
	for range 10 {
		for method, body := range map[string][]byte{"POST": draft, "GET": nil} {
			clients.Go(func() {
				c, err := dial(ctx, target)
				if err != nil {
					b.Error(err)
					return
				}
				defer c.hangUp()
				for left.Add(-1) >= 0 {
					answer, err := c.do(method, "/v1/mailboxes/m/messages", header, body)
					var got struct {
						Frames []frame `json:"frames"`
					}
					if err == nil && body == nil {
						err = json.Unmarshal(answer, &got)
					}
					if err != nil {
						b.Error(err)
						return
					}
				}
			})
		}
	}
	clients.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
}
