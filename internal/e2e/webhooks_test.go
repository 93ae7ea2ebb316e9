package e2e_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"restante/internal/e2e"
)

// TestWebhookKilled kills the server between telling a webhook and recording that it was told, again and again: each
// event arrives at least once, in order, with the same id each time.
func TestWebhookKilled(t *testing.T) {
	t.Parallel()
	type event struct{ id, body string }
	var mu sync.Mutex
	var all []event
	took, goOn := make(chan struct{}), make(chan struct{})
	var kill atomic.Bool // the next event is told while the server is killed
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var e struct{ Data struct{ Body string } }
		text, _ := io.ReadAll(r.Body)
		_ = json.Unmarshal(text, &e)
		mu.Lock()
		all = append(all, event{r.Header.Get("Webhook-Id"), e.Data.Body})
		mu.Unlock()
		if kill.CompareAndSwap(true, false) {
			took <- struct{}{}
			<-goOn
		}
		w.WriteHeader(http.StatusNoContent)
	}))
	t.Cleanup(receiver.Close)
	file := filepath.Join(t.TempDir(), "webhooks.json")
	if err := os.WriteFile(file, []byte(`{"webhooks": [{"app": "example.org/hooked", "url": "`+receiver.URL+`",
		"secrets": ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"], "allow": ["127.0.0.1/32"], "timeoutMs": 500}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	s := e2e.NewServer(t, "--drain=0s", "--webhooks="+file)
	s.Start()
	s.WaitReady()
	const kills = 2
	for n := range 2 * kills {
		kill.Store(n%2 == 1)
		post := http.Header{"Authorization": {basic("example.org/hooked", "a-secret-of-22-characters")}}
		if a := e2e.Ask(t, http.MethodPost, s.URL()+"/v1/mailboxes/box/messages?open=true", post, `{"phase": "n", "body": "`, strconv.Itoa(n), `"}`); a.Status != http.StatusCreated {
			t.Fatalf("%d %s", a.Status, a.Body)
		}
		if n%2 == 1 {
			<-took
			s.Kill()
			goOn <- struct{}{}
			s.Start()
			s.WaitReady()
		}
	}
	e2e.Eventually(t, "all was told", func() bool { return s.Status().Webhooks.Pending == 0 })
	mu.Lock()
	defer mu.Unlock()
	next, ids := 0, map[string]string{}
	for _, e := range all {
		if body, again := ids[e.id]; again && body == e.body {
			continue
		}
		if ids[e.id] = e.body; e.body != strconv.Itoa(next) {
			t.Errorf("%s came as number %d", e.body, next)
		}
		next++
	}
	if next != 2*kills || len(all) < next+kills {
		t.Errorf("%d events were told, %d of them once: %v", len(all), next, all)
	}
}

// TestWebhooksReadAgain checks a file of webhooks, and has a server read it again.
func TestWebhooksReadAgain(t *testing.T) {
	t.Parallel()
	came := make(chan string, 100)
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		came <- r.URL.Path
		if r.URL.Path == "/wrong" {
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	t.Cleanup(receiver.Close)
	file := filepath.Join(t.TempDir(), "webhooks.json")
	write := func(path, secrets string) {
		t.Helper()
		text := `{"webhooks": [{"app": "app", "url": "` + receiver.URL + path + `", "secrets": [` + secrets + `], "allow": ["127.0.0.1/32"]}]}`
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const good, bad = `"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"`, `"short"`
	write("/right", bad)
	if stdout, stderr, code := e2e.Run(t, e2e.Environment(), "webhooks", "check", file); code != 1 || stdout != "" || !strings.Contains(stderr, file+": a secret is") {
		t.Errorf("a mistake is told with %d: %s%s", code, stdout, stderr)
	}
	write("/wrong", good)
	if stdout, stderr, code := e2e.Run(t, e2e.Environment(), "webhooks", "check", file); code != 0 || stdout != file+": 1 webhooks\n" {
		t.Errorf("a good file is checked with %d: %s%s", code, stdout, stderr)
	}

	s := e2e.Serve(t, "--webhooks="+file)
	ctx := e2e.Context(t)
	wait := func(want string) {
		t.Helper()
		for path := ""; path != want; {
			select {
			case path = <-came:
			case <-ctx.Done():
				t.Fatalf("nothing is sent to %s", want)
			}
		}
	}
	hangUp := func(says string) {
		t.Helper()
		s.Signal(syscall.SIGHUP)
		e2e.Eventually(t, "the log says "+says, func() bool { return s.Logged(says) })
	}
	post := http.Header{"Authorization": {basic("app", "a-secret-of-22-characters")}}
	if a := e2e.Ask(t, http.MethodPost, s.URL()+"/v1/mailboxes/box/messages?open=true", post, `{"phase": "n", "body": "0"}`); a.Status != http.StatusCreated {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	wait("/wrong")
	write("/right", bad)
	hangUp("the webhooks stay as they were")
	write("/right", good)
	hangUp("read the webhooks again")
	wait("/right")
	e2e.Eventually(t, "all was told", func() bool { return s.Status().Webhooks.Pending == 0 })
}

func basic(name, password string) string {
	r := &http.Request{Header: http.Header{}}
	r.SetBasicAuth(name, password)
	return r.Header.Get("Authorization")
}
