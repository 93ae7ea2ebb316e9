package session_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"restante/session"
)

const secret = "KXW2_hJ0-4fQzT9rLmB7vA"

func TestParseID(t *testing.T) {
	tests := map[string]struct {
		text string
		ok   bool
	}{
		"the shortest":               {secret, true},
		"the longest":                {strings.Repeat("aZ0_", 16), true},
		"every character there is":   {"abcdefghijklmnopqrstuvwxyz-_0123456789", true},
		"every other character":      {"ABCDEFGHIJKLMNOPQRSTUVWXYZ", true},
		"nothing":                    {"", false},
		"one too few":                {secret[1:], false},
		"one too many":               {strings.Repeat("a", 65), false},
		"a space":                    {secret + " ", false},
		"a newline":                  {secret + "\n", false},
		"standard base64's plus":     {secret + "+", false},
		"standard base64's slash":    {secret + "/", false},
		"padding":                    {secret + "=", false},
		"a full stop":                {secret + ".", false},
		"a zero byte":                {secret + "\x00", false},
		"a letter beyond ASCII":      {secret + "é", false},
		"a digit beyond ASCII":       {secret + "٣", false},
		"invalid UTF-8":              {secret + "\xff", false},
		"just below the digits":      {secret + "\x2f", false},
		"just above the digits":      {secret + ":", false},
		"just below the capitals":    {secret + "@", false},
		"just above the capitals":    {secret + "[", false},
		"just below the small ones":  {secret + "`", false},
		"just above the small ones":  {secret + "{", false},
		"long only in bytes":         {strings.Repeat("é", 11), false},
		"many more than fit in mind": {strings.Repeat("a", 1<<16), false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			id, err := session.ParseID(test.text)
			if test.ok {
				if err != nil || id.Reveal() != test.text {
					t.Errorf("%q, %v", id.Reveal(), err)
				}
				return
			}
			if !errors.Is(err, session.ErrMalformedID) || id != (session.ID{}) {
				t.Errorf("%q, %v, want ErrMalformedID", id.Reveal(), err)
			}
			if err != nil && test.text != "" && strings.Contains(err.Error(), test.text) {
				t.Errorf("the error tells the id: %v", err)
			}
		})
	}
}

func TestNewID(t *testing.T) {
	minted := map[session.ID]bool{}
	for range 1000 {
		id := session.NewID()
		again, err := session.ParseID(id.Reveal())
		if err != nil || again != id || again.Key() != id.Key() {
			t.Fatalf("%v, %v, %v", id, again, err)
		}
		if len(id.Reveal()) != 32 {
			t.Fatalf("%d characters, want 32: 192 bits", len(id.Reveal()))
		}
		minted[id] = true
	}
	if len(minted) != 1000 {
		t.Errorf("%d different ids of 1000", len(minted))
	}
}

func TestTheZeroID(t *testing.T) {
	if got := (session.ID{}).Reveal(); got != "" {
		t.Errorf("it reveals %q", got)
	}
	if (session.ID{}).Key() == session.NewID().Key() {
		t.Error("it has another's key")
	}
}

// TestAnIDIsNeverPrinted tries all the ways by which ids come into logs.
func TestAnIDIsNeverPrinted(t *testing.T) {
	id, err := session.ParseID(secret)
	if err != nil {
		t.Fatal(err)
	}
	type exported struct {
		ID  session.ID
		Ptr *session.ID
	}
	type unexported struct {
		id  session.ID
		ptr *session.ID
		set map[session.ID]bool
	}
	values := map[string]any{
		"itself":                 id,
		"a pointer":              &id,
		"a slice":                []session.ID{id},
		"a map's key":            map[session.ID]int{id: 1},
		"an exported field":      exported{id, &id},
		"an unexported field":    unexported{id, &id, map[session.ID]bool{id: true}},
		"an unexported field, *": &unexported{id, &id, map[session.ID]bool{id: true}},
		"an error's text":        fmt.Errorf("session %v", id),
	}
	var log bytes.Buffer
	text := slog.New(slog.NewTextHandler(&log, nil))
	structured := slog.New(slog.NewJSONHandler(&log, nil))
	for name, v := range values {
		t.Run(name, func(t *testing.T) {
			log.Reset()
			text.Info("logged", "value", v)
			structured.Info("logged", "value", v, slog.Group("group", "value", v))
			printed := map[string]string{"slog": log.String()}
			for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%T", "%t", "%p", "%60v", "%-60s", "%.3v"} {
				printed[verb] = fmt.Sprintf(verb, v)
			}
			if encoded, err := json.Marshal(v); err == nil {
				printed["JSON"] = string(encoded)
			}
			for how, out := range printed {
				if leaks(out) {
					t.Errorf("%s prints %s", how, out)
				}
			}
		})
	}
}

// leaks tells whether any eight characters of the secret are in what is printed,
// in plain, in hexadecimal or as the numbers of its bytes.
func leaks(printed string) bool {
	for i := range len(secret) - 7 {
		part := secret[i : i+8]
		for _, form := range []string{part, fmt.Sprintf("%x", part), fmt.Sprintf("%X", part), strings.Trim(fmt.Sprint([]byte(part)), "[]")} {
			if strings.Contains(printed, form) {
				return true
			}
		}
	}
	return false
}

func TestAnIDPrintsAsTheBeginningOfItsKey(t *testing.T) {
	id, err := session.ParseID(secret)
	if err != nil {
		t.Fatal(err)
	}
	const want = "9c88f47a85fe" // sha256sum, first 12 digits
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("logged", "id", id, "key", id.Key())
	for how, got := range map[string]string{
		"%v of the id":  fmt.Sprintf("%v", id),
		"%v of the key": fmt.Sprintf("%v", id.Key()),
		"String":        id.String(),
	} {
		if got != want {
			t.Errorf("%s: %s, want %s", how, got, want)
		}
	}
	if !strings.Contains(log.String(), "id="+want+" key="+want) {
		t.Errorf("logged: %s", log.String())
	}
}
