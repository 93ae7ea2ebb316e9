package main

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// wormhole starts a real client, which has to be installed; what it prints is in said.
func (s *server) wormhole(t *testing.T, program, dir string, args ...string) (c *exec.Cmd, said *logbook) {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Fatalf("%v: apt-get install magic-wormhole wormhole-william", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	relay := []string{"--relay-url", "ws://" + s.address + "/v1"}
	if program == "wormhole" {
		relay = append(relay, "--transit-helper", "tcp:127.0.0.1:1") // nobody: the two ends reach each other directly
	}
	c = exec.CommandContext(ctx, path, append(relay, args...)...) // #nosec G204 -- the clients under test
	c.Dir = dir
	said = &logbook{}
	c.Stdout, c.Stderr = said, said
	c.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "HOME="+dir)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	return c, said
}

var wormholeCode = regexp.MustCompile(`\d+-[a-z]+-[a-z]+`)

// codeIn waits for the code that a sender prints.
func codeIn(t *testing.T, said *logbook) (code string) {
	t.Helper()
	eventually(t, 30*time.Second, "the sender has a code", func() bool {
		code = wormholeCode.FindString(said.String())
		return code != ""
	})
	return code
}

// TestWormholeClients has real clients exchange texts, in every pairing.
func TestWormholeClients(t *testing.T) {
	t.Parallel()
	s := serve(t)
	for _, pair := range [][2]string{{"wormhole", "wormhole"}, {"wormhole", "wormhole-william"}, {"wormhole-william", "wormhole"}, {"wormhole-william", "wormhole-william"}} {
		t.Run(pair[0]+" to "+pair[1], func(t *testing.T) {
			text := "a text from " + pair[0]
			sender, offered := s.wormhole(t, pair[0], t.TempDir(), "send", "--text", text)
			receiver, got := s.wormhole(t, pair[1], t.TempDir(), "receive", codeIn(t, offered))
			if err := receiver.Wait(); err != nil || !strings.Contains(got.String(), text) {
				t.Errorf("the receiver ends with %v and says %s", err, got)
			}
			if err := sender.Wait(); err != nil {
				t.Errorf("the sender ends with %v and says %s", err, offered)
			}
		})
	}
	// Whoever closed has left nothing; go-william sometimes ends before it has sent its close.
	if status := s.status(); status.Counts.Nameplates != 0 {
		t.Errorf("nameplates are left: %v", status.Counts)
	}
}

// TestWormholeFile sends a file over a direct connection.
func TestWormholeFile(t *testing.T) {
	t.Parallel()
	s := serve(t)
	from, to := t.TempDir(), t.TempDir()
	content := bytes.Repeat([]byte("poste restante\n"), 30_000)
	if err := os.WriteFile(filepath.Join(from, "letter.txt"), content, 0o600); err != nil {
		t.Fatal(err)
	}
	sender, offered := s.wormhole(t, "wormhole", from, "send", "letter.txt")
	receiver, got := s.wormhole(t, "wormhole", to, "receive", "--accept-file", codeIn(t, offered))
	if err := receiver.Wait(); err != nil {
		t.Fatalf("the receiver ends with %v and says %s", err, got)
	}
	if err := sender.Wait(); err != nil {
		t.Fatalf("the sender ends with %v and says %s", err, offered)
	}
	arrived, err := os.ReadFile(filepath.Join(to, "letter.txt")) // #nosec G304 -- our own directory
	if err != nil || !bytes.Equal(arrived, content) {
		t.Errorf("%d bytes arrived of %d: %v", len(arrived), len(content), err)
	}
}

// TestWormholeMisfortunes is what goes wrong between people.
func TestWormholeMisfortunes(t *testing.T) {
	t.Parallel()
	t.Run("a wrong code is scary, and both are told", func(t *testing.T) {
		s := serve(t)
		sender, offered := s.wormhole(t, "wormhole", t.TempDir(), "send", "--text", "x", "--code", "4-right-code")
		eventually(t, 30*time.Second, "the sender waits", func() bool { return s.status().Counts.Mailboxes == 1 })
		receiver, got := s.wormhole(t, "wormhole", t.TempDir(), "receive", "4-wrong-code")
		if err := receiver.Wait(); err == nil || !strings.Contains(got.String(), "confirmation failed") {
			t.Errorf("the receiver ends with %v and says %s", err, got)
		}
		if err := sender.Wait(); err == nil || !strings.Contains(offered.String(), "confirmation failed") {
			t.Errorf("the sender ends with %v and says %s", err, offered)
		}
		s.results(t, "scary")
	})
	t.Run("a lonely sender that is gone without a word is pruned", func(t *testing.T) {
		s := serve(t, "--mailbox-ttl=1s", "--prune-interval=1s", "--boot-grace=0s")
		sender, said := s.wormhole(t, "wormhole", t.TempDir(), "send", "--text", "x")
		codeIn(t, said)
		if err := sender.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = sender.Wait() // it was killed
		s.results(t, "pruney")
	})
	t.Run("a third is told that it is crowded, and the first two go on", func(t *testing.T) {
		s := serve(t)
		a, offered := s.wormhole(t, "wormhole", t.TempDir(), "send", "--text", "x", "--code", "5-same-code")
		eventually(t, 30*time.Second, "the first waits", func() bool { return s.status().Counts.Mailboxes == 1 })
		// A second side that holds the nameplate and does nothing else, as one does whose user is still typing.
		s.claim(t, "5")
		b, got := s.wormhole(t, "wormhole", t.TempDir(), "receive", "5-same-code")
		if err := b.Wait(); err == nil || !strings.Contains(strings.ToLower(got.String()), "crowded") {
			t.Errorf("the third ends with %v and says %s", err, got)
		}
		if err := a.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		_ = a.Wait() // it was interrupted
		if strings.Contains(strings.ToLower(offered.String()), "crowded") {
			t.Errorf("the first was told that it is crowded: %s", offered)
		}
	})
	t.Run("the server is killed while the sender waits", func(t *testing.T) {
		s := serve(t)
		sender, offered := s.wormhole(t, "wormhole", t.TempDir(), "send", "--text", "it survived")
		code := codeIn(t, offered)
		s.kill()
		s.start()
		s.ready()
		receiver, got := s.wormhole(t, "wormhole", t.TempDir(), "receive", code)
		if err := receiver.Wait(); err != nil || !strings.Contains(got.String(), "it survived") {
			t.Errorf("the receiver ends with %v and says %s", err, got)
		}
		if err := sender.Wait(); err != nil {
			t.Errorf("the sender ends with %v and says %s", err, offered)
		}
	})
}

// claim has an HTTP session of the wormhole clients' app hold a nameplate.
func (s *server) claim(t *testing.T, nameplate string) {
	t.Helper()
	header := http.Header{"Content-Type": {"application/json"}}
	a := ask(t, http.MethodPost, s.url()+"/v1/sessions", header,
		`{"protocolVersion":"1","appId":"lothar.com/wormhole/text-or-file-xfer","expectedSessionState":{"nextExpectedSeq":0,"nextSentSeq":0}}`)
	var begun struct{ SessionID string }
	if err := json.Unmarshal(a.body, &begun); err != nil || a.status != http.StatusCreated {
		t.Fatalf("%d %s (%v)", a.status, a.body, err)
	}
	header.Set("Authorization", "Bearer "+begun.SessionID)
	if a := ask(t, http.MethodPut, s.url()+"/v1/nameplates/"+nameplate, header); a.status != http.StatusOK {
		t.Fatalf("%d %s", a.status, a.body)
	}
}

// results waits until the mailboxes that were retired went so, in the words of the usage records.
func (s *server) results(t *testing.T, want string) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+s.database+"?mode=ro&_pragma=busy_timeout(5000)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var got sql.NullString
	eventually(t, 20*time.Second, "usage_mailboxes says "+want, func() bool {
		err := db.QueryRowContext(t.Context(), `SELECT GROUP_CONCAT(result, ' ') FROM usage_mailboxes`).Scan(&got)
		return err == nil && got.String == want
	})
}
