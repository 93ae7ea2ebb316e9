package operator

import (
	"fmt"
	"strings"
	"unicode"

	"restante/internal/units"
)

// ago returns how long before now a time was, both in milliseconds since the epoch.
func ago(now int64, at *int64) string {
	if at == nil || *at == 0 {
		return "not yet"
	}
	if now-*at < 1000 {
		return "now"
	}
	return units.Span(now-*at) + " ago"
}

// until returns how long after now a time is.
func until(now int64, at *int64) string {
	switch {
	case at == nil:
		return "not planned"
	case *at <= now:
		return "now"
	}
	return "in " + units.Span(*at-now)
}

// plain returns a text that may come from a client as one that a terminal only shows.
func plain(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '�'
		}
		return r
	}, text)
}

// some returns the counts that are not 0, with their names.
func some(counts ...any) string {
	var parts []string
	for i := 0; i+1 < len(counts); i += 2 {
		if n, ok := counts[i].(int64); ok && n != 0 {
			parts = append(parts, fmt.Sprint(n, " ", counts[i+1]))
		}
	}
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, ", ")
}
