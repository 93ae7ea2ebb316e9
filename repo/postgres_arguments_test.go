package repo_test

import (
	"bytes"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"restante/repo"
)

// TestArgumentsArriveAsTheyAre sends values to PostgreSQL in the text of statements, prepared and not, and has them sent
// back: no text is taken for SQL.
func TestArgumentsArriveAsTheyAre(t *testing.T) {
	t.Parallel()
	for name, pooled := range map[string]bool{"prepared": false, "behind a pooler": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := openPostgres(t, repo.Options{Pooled: pooled, Connections: 1})
			check := func(t rapid.TB, text string, body []byte, number int64) {
				gotText, gotBody, gotNumber, err := repo.Echo(db, text, body, number)
				if err != nil || gotText != text || !bytes.Equal(gotBody, body) || gotNumber != number {
					t.Errorf("%q, %q, %d became %q, %q, %d, %v", text, body, number, gotText, gotBody, gotNumber, err)
				}
			}
			for _, text := range []string{"", "'", "''", `\`, `\'`, `\\'; DROP TABLE mailboxes; --`, "?", "$1", "E'", "/*", "--", ";", "\n", "é🙂\u2028", strings.Repeat("'", 5000)} {
				check(t, text, []byte(text), -1<<63)
			}
			rapid.Check(t, func(t *rapid.T) {
				text := rapid.String().Draw(t, "text")
				check(t, strings.ReplaceAll(text, "\x00", ""), rapid.SliceOf(rapid.Byte()).Draw(t, "body"), rapid.Int64().Draw(t, "number"))
			})
			if _, _, _, err := repo.Echo(db, "a\x00'; DROP TABLE mailboxes; --", nil, 0); err == nil {
				t.Error("a text with a zero byte was sent")
			}
			wantWorking(t, db)
		})
	}
}
