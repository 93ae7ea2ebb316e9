package wormhole_test

import (
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"restante/internal/e2e"
	"restante/internal/testclient"
)

// reference is the reference server of the wormhole protocol, as Debian has it.
type reference struct {
	t       *testing.T
	address string
	usage   string // its usage database
	log     e2e.Output
	cmd     *exec.Cmd
}

func startReference(t *testing.T, flags ...string) *reference {
	t.Helper()
	dir := t.TempDir()
	r := &reference{t: t, address: e2e.FreeAddress(t), usage: filepath.Join(dir, "usage.sqlite")}
	host, port, _ := strings.Cut(r.address, ":")
	r.cmd = e2e.Command(t.Context(), "twist3", append([]string{
		"wormhole-mailbox", "--port=tcp:" + port + ":interface=" + host,
		"--channel-db=" + filepath.Join(dir, "relay.sqlite"), "--usage-db=" + r.usage,
	}, flags...)...)
	r.cmd.Dir, r.cmd.Env, r.cmd.Stdout, r.cmd.Stderr = dir, e2e.Environment("HOME="+dir), &r.log, &r.log
	if err := r.cmd.Start(); err != nil {
		t.Fatalf("the reference server does not start (apt-get install python3-magic-wormhole-mailbox-server): %v", err)
	}
	t.Cleanup(func() {
		r.stop()
		if log := r.log.String(); t.Failed() {
			t.Logf("the end of the reference server's log:\n%s", log[max(0, len(log)-4000):])
		}
	})
	return r
}

func (r *reference) ready() {
	r.t.Helper()
	e2e.Eventually(r.t, "the reference server is ready", func() bool {
		a, err := testclient.Exchange(r.t.Context(), testclient.OneShot, http.MethodGet, "http://"+r.address+"/", nil, "")
		return err == nil && a.Status == http.StatusOK
	})
}

func (r *reference) stop() {
	_ = e2e.Kill(r.cmd) // whatever it did is committed
	_ = r.cmd.Wait()
}

// serverPair is the reference server and ours, with the same flags.
type serverPair struct {
	reference *reference
	ours      *e2e.Server
	scripts   []script
	// unnamed is held by a script that uses the mailbox without a name. To the reference server that is one mailbox, of whatever
	// app, and it drops the connection of an app that uses it while another does.
	unnamed sync.Mutex
}

// comparison is how a script went: what was answered to each line by each.
type comparison struct {
	script
	reference, ours []string
	used            map[string]bool // deviations that need no line, since they are everywhere
}

// alike is what is expected of the reference server.
func alike(map[string]any) string { return "" }

// unlike is what is expected of ours, in every script.
func unlike(frame map[string]any) (deviation string) {
	if welcome, is := frame["welcome"].(map[string]any); is {
		address, _ := welcome["your-address"].(map[string]any)
		if len(address) == 2 && address["ipv4"] == "127.0.0.1" && address["port"] != nil {
			delete(welcome, "your-address")
			delete(welcome, "address-id")
			return yourAddress
		}
	}
	if id, is := frame["mailbox"].(string); is && frame["type"] == "allocated" && len(id) == 32 {
		delete(frame, "mailbox")
		return allocatedMailbox
	}
	return ""
}

// compare plays a script to both, each on its own.
func (c *serverPair) compare(s script) comparison {
	if slices.ContainsFunc(s.lines, func(l line) bool { return strings.Contains(l.does, `{"mailbox":""`) }) {
		c.unnamed.Lock()
		defer c.unnamed.Unlock()
	}
	reference := newRun(s.title, target{address: c.reference.address, atOnce: true, expected: alike})
	ours := newRun(s.title, target{address: c.ours.Address, expected: unlike})
	p := comparison{script: s, used: ours.used}
	_ = e2e.AtOnce([]func(){
		func() { p.reference = answersOf(reference, s) },
		func() { p.ours = answersOf(ours, s) },
	}, func(f func()) error { f(); return nil })
	return p
}

func answersOf(p *run, s script) (answers []string) {
	for _, l := range s.lines {
		if l.does == "usage" {
			answers = append(answers, "")
			continue
		}
		answers = append(answers, p.do(l.does))
	}
	for _, name := range slices.Sorted(maps.Keys(p.clients)) {
		if more := p.do(name + " hears all"); more != "nothing" {
			answers[len(answers)-1] += fmt.Sprintf("; then %s heard %s", name, more)
		}
		p.leave(name)
	}
	return answers
}

// TestReference plays scripts to the reference server and to ours, which answer
// alike but for what is documented, and remember alike how it went.
func TestReference(t *testing.T) {
	t.Parallel()
	pairs := map[string]*serverPair{}
	lines := 0
	for title, text := range scripts() {
		s := parse(t, title, text)
		flags := strings.Join(s.flags, " ")
		if pairs[flags] == nil {
			pairs[flags] = &serverPair{reference: startReference(t, s.flags...), ours: e2e.NewServer(t, append([]string{"--drain=0s"}, s.flags...)...)}
			pairs[flags].ours.Start()
		}
		pairs[flags].scripts = append(pairs[flags].scripts, s)
		lines += len(s.lines)
	}
	for _, c := range pairs {
		c.reference.ready()
		c.ours.WaitReady()
	}
	began := time.Now()
	results := make(chan comparison, len(scripts()))
	slots := make(chan struct{}, 16) // at once: the reference server is slow, and ours hangs up on clients that do not bind in time
	_ = e2e.AtOnce(slices.Collect(maps.Values(pairs)), func(c *serverPair) error {
		return e2e.AtOnce(c.scripts, func(s script) error {
			slots <- struct{}{}
			defer func() { <-slots }()
			results <- c.compare(s)
			return nil
		})
	})
	close(results)
	took := time.Since(began)

	usage := [2]map[string][]string{{}, {}}
	for _, c := range pairs {
		c.reference.stop()
		c.ours.Signal(syscall.SIGTERM)
		if code := c.ours.Wait(); code != 0 {
			t.Errorf("exit code %d", code)
		}
		remember(t, usage[0], c.reference.usage, `
			SELECT app_id, 'client ' || implementation || ' ' || version FROM client_versions WHERE implementation IS NOT NULL
			UNION ALL SELECT app_id, 'mailbox ' || result FROM mailboxes
			UNION ALL SELECT app_id, 'nameplate ' || result FROM nameplates`)
		remember(t, usage[1], c.ours.Database, `
			SELECT app, 'client ' || implementation || ' ' || version FROM client_versions WHERE implementation IS NOT NULL
			UNION ALL SELECT app, 'mailbox ' || result FROM usage_mailboxes
			UNION ALL SELECT app, 'nameplate ' || result FROM usage_nameplates`)
	}
	used := map[string]bool{}
	for p := range results {
		maps.Copy(used, p.used)
		t.Run(p.title, func(t *testing.T) {
			for i, l := range p.lines {
				reference, ours := p.reference[i], p.ours[i]
				if l.does == "usage" {
					reference, ours = usageOf(usage[0], p.title), usageOf(usage[1], p.title)
				}
				used[l.deviation] = true
				switch {
				case l.deviation == "" && reference != ours:
					t.Errorf("%s\nthe reference: %s\n         ours: %s", l.does, reference, ours)
				case l.deviation != "" && (reference != l.reference || ours != l.ours):
					t.Errorf("%s\nthe reference: %s\n     expected: %s\n         ours: %s\n     expected: %s\n  because of: %s",
						l.does, reference, l.reference, ours, l.ours, l.deviation)
				}
			}
		})
	}
	delete(used, "")
	documented := rows(t)
	for _, d := range slices.Sorted(maps.Keys(used)) {
		if !slices.Contains(documented, d) {
			t.Errorf("%q is in no row of the table in docs/wormhole.md", d)
		}
	}
	for _, d := range documented {
		if !used[d] {
			t.Errorf("%q is in docs/wormhole.md, and in no script", d)
		}
	}
	t.Logf("%d scripts, %d lines, %d deviations, in %v", len(scripts()), lines, len(used), took.Round(time.Millisecond))
}

// remember adds what a usage database says, by app.
func remember(t *testing.T, usage map[string][]string, path, query string) {
	t.Helper()
	db, err := sqlx.Open("sqlite", "file:"+path+"?mode=ro")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	entries, err := db.Query(query)
	if err != nil {
		t.Fatal(err)
	}
	defer entries.Close()
	for entries.Next() {
		var app, entry string
		if err := entries.Scan(&app, &entry); err != nil {
			t.Fatal(err)
		}
		usage[app] = append(usage[app], entry)
	}
	if err := entries.Err(); err != nil {
		t.Fatal(err)
	}
}

// usageOf is the usage of a script's apps.
func usageOf(usage map[string][]string, title string) string {
	apps := newRun(title, target{}).props
	entries := slices.Concat(usage[apps["$app"]], usage[apps["$other"]])
	slices.Sort(entries)
	if len(entries) == 0 {
		return "nothing"
	}
	return strings.Join(entries, "; ")
}

// rows are the first cells of the table of deviations in the documentation.
func rows(t *testing.T) (first []string) {
	t.Helper()
	text, err := os.ReadFile(e2e.Path("docs/wormhole.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, after, ok := strings.Cut(string(text), "<!-- deviations -->\n")
	if !ok {
		t.Fatal("docs/wormhole.md has no table behind <!-- deviations -->")
	}
	for l := range strings.Lines(after) {
		if !strings.HasPrefix(l, "|") {
			break
		}
		cell, _, _ := strings.Cut(l[1:], "|")
		first = append(first, strings.Trim(cell, " `"))
	}
	return first[min(2, len(first)):] // without the head
}
