package e2e_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"restante/internal/e2e"
)

// TestBackup takes the backup of docs/operations.md from a large file, while clients talk. It ends, they go on, and the
// copy is a whole database that another server serves.
func TestBackup(t *testing.T) {
	t.Parallel()
	ctx, backups := e2e.Context(t), t.TempDir()
	s := e2e.Serve(t)
	large := &e2e.Member{Client: e2e.NewClient(s, "large"), Mailbox: "large", Mark: "mail-of-large", Size: 60_000}
	if err := large.Handshake(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := large.Command(ctx, http.MethodPut, "/v1/mailboxes/large", nil); err != nil {
		t.Fatal(err)
	}
	const batches, batch = 200, 4 // together 48 MB
	for i := range batches {
		var messages [batch]map[string]string
		for k := range messages {
			messages[k] = large.Message(batch*i + k)
		}
		if _, err := large.Command(ctx, http.MethodPost, "/v1/mailboxes/large/messages", messages); err != nil {
			t.Fatal(err)
		}
	}
	talk := e2e.StartConversation(ctx, e2e.NewPairs(s, 3))
	e2e.Eventually(t, "they talk", func() bool { return talk.Least() > 0 })
	script := strings.NewReplacer("/var/lib/restante/", filepath.Dir(s.Database)+"/", "/backup/", backups+"/").Replace(block(t, "docs/operations.md", "backup"))
	run(ctx, t, backups, script)
	talk.MustGoOn(t)
	talk.End(ctx, t)

	copies, err := os.ReadDir(backups)
	if err != nil || len(copies) != 1 {
		t.Fatalf("there are %v (%v), want one file", copies, err)
	}
	kept := e2e.NewServer(t)
	kept.Database = filepath.Join(backups, copies[0].Name())
	if info, err := os.Stat(kept.Database); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("others may read the copy: %v (%v)", info.Mode(), err)
	}
	if out, complaints, code := e2e.Run(t, nil, "check", "--database="+kept.Database); code != 0 {
		t.Errorf("check: %d %q %q", code, out, complaints)
	}
	kept.Start()
	kept.WaitReady()
	if counts := kept.Status().Counts; counts.Messages < batches*batch {
		t.Errorf("the copy has %d messages, want the %d that were there before", counts.Messages, batches*batch)
	}
	large.MoveTo(kept.URL())
	var log struct{ Messages []struct{ Body string } }
	if err := large.Query(ctx, fmt.Sprintf("/v1/mailboxes/large/messages?after=%d", batches*batch-1), &log); err != nil {
		t.Fatal(err)
	}
	if last := large.Message(batches*batch - 1)["body"]; len(log.Messages) != 1 || log.Messages[0].Body != last {
		t.Errorf("the last of the large messages is not in the copy as it was sent: there are %d", len(log.Messages))
	}
}
