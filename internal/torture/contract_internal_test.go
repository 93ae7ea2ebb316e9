package torture

import (
	"net/http"
	"strings"
	"testing"
)

func TestContract(t *testing.T) {
	t.Parallel()
	c, err := readContract()
	if err != nil {
		t.Fatal(err)
	}
	header := http.Header{"Content-Type": {"application/problem+json"}}
	problem := func(code, action string) string {
		return `{"type":"urn:restante:problem:x","title":"t","status":409,"detail":"d","code":"` + code + `","retriable":false,"action":"` + action + `"}`
	}
	tests := map[string]struct {
		method, path string
		status       int
		body         string
		want         string // part of the complaint; empty: there is none
	}{
		"a success":               {"PUT", "/v1/mailboxes/m?after=0", 200, "{}", ""},
		"a declared problem":      {"PUT", "/v1/mailboxes/m", 409, problem("CROWDED", "stop"), ""},
		"a code of another place": {"PUT", "/v1/mailboxes/m", 409, problem("SIDE_TAKEN", "stop"), "not declared"},
		"another action":          {"PUT", "/v1/mailboxes/m", 409, problem("CROWDED", "retry"), "action"},
		"another status":          {"PUT", "/v1/mailboxes/m", 418, "{}", "status 418"},
		"no problem":              {"PUT", "/v1/mailboxes/m", 409, "conflict", "no problem document"},
		"internals": {
			"PUT", "/v1/mailboxes/m", 409, strings.Replace(problem("CROWDED", "stop"), `"detail":"d"`, `"detail":"sql: no rows"`, 1), "internals",
		},
		"an unknown path": {"GET", "/v1/nothing", 200, "{}", "not in the contract"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := c.breach(tt.method, tt.path, tt.status, header, []byte(tt.body))
			if (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
				t.Errorf("the complaint is %q, want %q in it", got, tt.want)
			}
		})
	}
}
