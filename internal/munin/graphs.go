package munin

import (
	"strconv"
	"strings"
	"time"
)

// unknown is how Munin is told that a value is not known.
const unknown = "U"

// field is a line of a graph.
type field struct {
	name, label string
	settings    []string // what config says of it besides, as "name value"
	value       func(State) string
	extinfo     func(State) string // a text for alerts; nil if there is none
	failed      error              // a failure to find out the state that is what the field tells; nil if there is none
}

// graph is what one plugin draws.
type graph struct {
	name, title, vertical, info string
	fields                      []field
}

func gauge(name, label, draw string, value func(State) int64) field {
	return field{name: name, label: label, settings: []string{"draw " + draw, "type GAUGE", "min 0"}, value: func(s State) string {
		return strconv.FormatInt(value(s), 10)
	}}
}

// rate is a line of how many events there are in an hour. Its value counts events, and never goes back.
func rate(name, label string, value func(State) int64) field {
	f := gauge(name, label, "LINE1", value)
	f.settings = []string{"draw LINE1", "type DERIVE", "min 0", "max 100000", "cdef " + name + ",3600,*"}
	return f
}

// alarm is a line that is 1, which is critical, while something is so, or finding out the state failed for it.
func alarm(name, label string, failed error, is func(State) bool, why func(State) string) field {
	return field{
		name: name, label: label, settings: []string{"draw LINE1", "type GAUGE", "min 0", "critical 0:0"},
		value: func(s State) string { return flag(is(s)) }, extinfo: why, failed: failed,
	}
}

func flag(is bool) string {
	if is {
		return "1"
	}
	return "0"
}

// age is a line of seconds.
func age(name, label, info, warning, critical string, value func(State) *time.Duration) field {
	return field{
		name: name, label: label,
		settings: []string{"draw LINE2", "type GAUGE", "min 0", "info " + info, "warning " + warning, "critical " + critical},
		value: func(s State) string {
			d := value(s)
			if d == nil {
				return unknown
			}
			return strconv.FormatInt(int64(max(*d, 0)/time.Second), 10)
		},
	}
}

// ended are the lines of how mailboxes ended.
func ended(of func(State) Ended) []field {
	result := func(name string) func(State) int64 {
		return func(s State) int64 { return of(s).Mailboxes[name] }
	}
	return []field{
		gauge("happy", "Happy", "LINE2", result("happy")),
		gauge("total", "Total", "LINE1", func(s State) int64 { return total(of(s).Mailboxes) }),
		gauge("scary", "Scary", "LINE2", result("scary")),
		gauge("pruney", "Pruney", "LINE1", result("pruney")),
		gauge("lonely", "Lonely", "LINE2", result("lonely")),
		gauge("errory", "Errory", "LINE1", result("errory")),
		gauge("crowded", "Crowded", "LINE1", result("crowded")),
	}
}

// graphs are all of them but version_uptake, whose lines depend on the clients.
var graphs = []graph{
	{
		name: "active", title: "Restante: what is stored", vertical: "number", info: "Nameplates, mailboxes, messages and live sessions.",
		fields: []field{
			gauge("nameplates", "Nameplates", "LINE2", func(s State) int64 { return s.Nameplates }),
			gauge("mailboxes", "Mailboxes", "LINE2", func(s State) int64 { return s.Mailboxes }),
			gauge("messages", "Messages", "LINE1", func(s State) int64 { return s.Messages }),
			gauge("sessions", "Sessions", "LINE1", func(s State) int64 { return s.Sessions }),
		},
	},
	{
		name: "errors", title: "Restante: what did not end well", vertical: "number since the start", info: "Nameplates and mailboxes that ended otherwise than happy, since the server started.",
		fields: []field{
			gauge("nameplates", "Nameplates", "LINE1", func(s State) int64 { return total(s.Since.Nameplates) - s.Since.Nameplates["happy"] }),
			gauge("mailboxes", "Mailboxes", "LINE1", func(s State) int64 { return total(s.Since.Mailboxes) - s.Since.Mailboxes["happy"] }),
			gauge("mailboxes_scary", "Mailboxes (scary)", "LINE1", func(s State) int64 { return s.Since.Mailboxes["scary"] }),
		},
	},
	{
		name: "event_rate", title: "Restante: how often mailboxes end", vertical: "mailboxes per hour", info: "How many mailboxes end in an hour. Incomplete: only one side came, or they were left behind.",
		fields: []field{
			rate("happy", "Happy", func(s State) int64 { return s.AllTime.Mailboxes["happy"] }),
			rate("incomplete", "Incomplete", func(s State) int64 { return s.AllTime.Mailboxes["pruney"] + s.AllTime.Mailboxes["lonely"] }),
			rate("scary", "Scary", func(s State) int64 { return s.AllTime.Mailboxes["scary"] }),
		},
	},
	{
		name: "events", title: "Restante: how mailboxes ended (since the start)", vertical: "mailboxes since the start", info: "How mailboxes ended since the server started.",
		fields: ended(func(s State) Ended { return s.Since }),
	},
	{
		name: "events_alltime", title: "Restante: how mailboxes ended (all time)", vertical: "mailboxes", info: "How mailboxes ended since the database was made.",
		fields: ended(func(s State) Ended { return s.AllTime }),
	},
	{
		name: uptake, title: "Restante: versions of clients", vertical: "clients in the last hour", info: "How many clients connected in the last hour, by version.",
	},
	{
		name: "staleness", title: "Restante: how old the news is", vertical: "seconds", info: "If the last modification is old, the server does not write: it has ended, or its storage cannot be used. The other graphs then show what was last known.",
		fields: []field{
			age("updated", "Age of the last modification", "A server that can write stores a sign of life each minute.", "300", "900", func(s State) *time.Duration { return &s.Updated }),
			age("pruned", "Age of the last good prune", "In a good run nothing failed. Nothing is pruned in the first minutes after a start.", "1800", "7200", func(s State) *time.Duration { return s.Pruned }),
			age("recorded", "Age of the last good recording", "Signs of life and acknowledgements of clients are stored every ten seconds. If they are not, sessions may be lost when the server restarts.", "120", "600", func(s State) *time.Duration { return s.Recorded }),
			{
				name: "failing", label: "Things that cannot be pruned", settings: []string{"draw LINE1", "type GAUGE", "min 0", "warning 0:0"},
				value: func(s State) string {
					if s.Failing == nil {
						return unknown
					}
					return strconv.Itoa(len(*s.Failing))
				},
				extinfo: func(s State) string {
					if s.Failing == nil {
						return ""
					}
					return oneLine(strings.Join(*s.Failing, "; "))
				},
			},
			alarm("silent", "The server does not answer", ErrSilent, func(s State) bool { return !s.Answers && s.Refused == "" }, nil),
			alarm("refused", "The server answers with an error", ErrRefused, func(s State) bool { return s.Refused != "" }, func(s State) string { return oneLine(s.Refused) }),
		},
	},
}

// maxText is the length of the longest text of an alert, in bytes.
const maxText = 600

// oneLine returns a text as Munin takes it: one line of printable ASCII, and not too long.
func oneLine(text string) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return ' '
		}
		return r
	}, text)
	return text[:min(len(text), maxText)]
}
