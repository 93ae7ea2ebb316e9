package operator

import (
	"fmt"
	"strings"
	"time"
	"unicode"
)

// span returns a number of milliseconds as a duration for people.
func span(ms int64) string {
	d := time.Duration(max(ms, 0)) * time.Millisecond
	switch {
	case d < time.Second:
		return fmt.Sprintf("%d ms", ms)
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return fmt.Sprintf("%d days", int(d.Hours()/24))
}

// ago returns how long before now a time was, both in milliseconds since the epoch.
func ago(now int64, at *int64) string {
	if at == nil || *at == 0 {
		return "not yet"
	}
	if now-*at < 1000 {
		return "now"
	}
	return span(now-*at) + " ago"
}

// until returns how long after now a time is.
func until(now int64, at *int64) string {
	switch {
	case at == nil:
		return "not planned"
	case *at <= now:
		return "now"
	}
	return "in " + span(*at-now)
}

// size returns a number of bytes for people.
func size(n int64) string {
	for _, unit := range []struct {
		name string
		of   int64
	}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}} {
		if n >= unit.of {
			return fmt.Sprintf("%.1f %s", float64(n)/float64(unit.of), unit.name)
		}
	}
	return fmt.Sprintf("%d bytes", n)
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
