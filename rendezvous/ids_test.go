package rendezvous_test

import (
	"strings"
	"testing"

	"restante/rendezvous"
)

func TestParseMood(t *testing.T) {
	for name, r := range map[string]struct {
		in   string
		want rendezvous.Mood // empty: refused
	}{
		"happy":                           {"happy", rendezvous.Happy},
		"lonely":                          {"lonely", rendezvous.Lonely},
		"scary":                           {"scary", rendezvous.Scary},
		"errory":                          {"errory", rendezvous.Errory},
		"none is happy":                   {"", rendezvous.Happy},
		"capitals are no mood":            {"Happy", ""},
		"a space is no mood":              {" ", ""},
		"spaces around are refused":       {" happy ", ""},
		"a line's end is refused":         {"happy\n", ""},
		"the reference's pruney is none":  {"pruney", ""},
		"the reference's crowded is none": {"crowded", ""},
		"an unknown one is refused":       {"mood", ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := rendezvous.ParseMood(r.in)
			if got != r.want || (err == nil) != (r.want != "") {
				t.Errorf("ParseMood(%q) = %q, %v; want %q", r.in, got, err, r.want)
			}
		})
	}
}

func TestParseNameplate(t *testing.T) {
	for name, r := range map[string]struct {
		in string
		ok bool
	}{
		"one digit":                    {"7", true},
		"zero":                         {"0", true},
		"many zeros":                   {"000", true},
		"leading zeros":                {"007", true},
		"forty digits":                 {strings.Repeat("1234567890", 4), true},
		"more than an int64 holds":     {"99999999999999999999", true},
		"forty-one digits":             {strings.Repeat("1", 41), false},
		"nothing":                      {"", false},
		"letters":                      {"letters", false},
		"a letter among digits":        {"1a2", false},
		"hexadecimal":                  {"0x7", false},
		"a trailing newline":           {"7\n", false},
		"a leading newline":            {"\n7", false},
		"a newline between":            {"7\n7", false},
		"a space around":               {" 7 ", false},
		"a space alone":                {" ", false},
		"a plus sign":                  {"+7", false},
		"a minus sign":                 {"-7", false},
		"an underscore":                {"1_000", false},
		"a decimal point":              {"7.0", false},
		"an exponent":                  {"1e3", false},
		"NUL at the end":               {"7\x00", false},
		"Arabic-Indic digits":          {"٧", false},
		"full-width digits":            {"７", false},
		"mathematical digits":          {"𝟟", false},
		"a superscript":                {"7²", false},
		"an ASCII digit and a Bengali": {"7৭", false},
		"invalid UTF-8":                {"7\xff", false},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := rendezvous.ParseNameplate(r.in)
			switch {
			case r.ok && (err != nil || string(got) != r.in):
				t.Errorf("ParseNameplate(%q) = %q, %v; want it as it is", r.in, got, err)
			case !r.ok && (err == nil || got != ""):
				t.Errorf("ParseNameplate(%q) = %q, %v; want it refused", r.in, got, err)
			}
		})
	}
	t.Run("7, 07 and 007 are three nameplates", func(t *testing.T) {
		seen := map[rendezvous.NameplateID]bool{}
		for _, s := range []string{"7", "07", "007"} {
			id, err := rendezvous.ParseNameplate(s)
			if err != nil {
				t.Fatal(err)
			}
			seen[id] = true
		}
		if len(seen) != 3 {
			t.Errorf("they are %v", seen)
		}
	})
}

func TestStorable(t *testing.T) {
	for name, r := range map[string]struct {
		in   string
		want bool
	}{
		"nothing":                          {"", true},
		"plain text":                       {"pake", true},
		"other scripts":                    {"почта 郵便 🐌", true},
		"control characters":               {"\x01\t\r\n\x1f\x7f\u0085", true},
		"a byte order mark":                {"\ufeff", true},
		"a noncharacter":                   {"\uffff", true},
		"the replacement character itself": {"\ufffd", true},
		"NUL":                              {"\x00", false},
		"NUL inside":                       {"a\x00b", false},
		"a lone byte":                      {"\xff", false},
		"a text that is cut off":           {"€"[:2], false},
		"half of a surrogate pair":         {"\xed\xa0\x80", false},
		"an overlong NUL":                  {"\xc0\x80", false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := rendezvous.Storable(r.in); got != r.want {
				t.Errorf("Storable(%q) = %v", r.in, got)
			}
		})
	}
}
