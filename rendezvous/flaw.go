package rendezvous

import (
	"fmt"

	"restante/session"
)

// FlawKind is something that can be wrong with what is stored, and cannot come about by itself: transactions keep it
// from happening. Another program, a restored part of a backup or a disk can bring it about.
type FlawKind string

// The kinds of flaws.
const (
	FlawMailboxSides     FlawKind = "mailbox-without-sides"
	FlawMailboxLog       FlawKind = "mailbox-with-gaps"
	FlawMailboxBytes     FlawKind = "mailbox-size"
	FlawNameplateMailbox FlawKind = "nameplate-without-mailbox"
	FlawNameplateClaims  FlawKind = "nameplate-without-claims"
	FlawNameplateWaiting FlawKind = "nameplate-waiting"
	FlawOutboxFrames     FlawKind = "outbox-with-gaps"
	FlawOutboxCounters   FlawKind = "outbox-size"
	FlawSessionOutbox    FlawKind = "session-without-outbox"
	FlawOrphans          FlawKind = "rows-without-owner"
	FlawUsage            FlawKind = "usage-missing"
	FlawFile             FlawKind = "damaged-file"
)

// FlawKinds are all kinds, in the order in which they are looked for and mended: what is left over by mending one may be
// mended as another.
var FlawKinds = []FlawKind{
	FlawFile, FlawMailboxSides, FlawMailboxLog, FlawNameplateMailbox, FlawNameplateClaims, FlawOutboxFrames, FlawSessionOutbox,
	FlawOrphans, FlawMailboxBytes, FlawNameplateWaiting, FlawOutboxCounters, FlawUsage,
}

// Flaw is one thing that is wrong.
type Flaw struct {
	Kind      FlawKind
	App       AppID
	Mailbox   MailboxKey  // 0 if it is about no mailbox
	Nameplate NameplateID // empty if it is about no nameplate
	Session   session.Key // zero if it is about no session
	Rows      int64       // how many rows have no owner
	Text      string      // the table of these rows, or what the database says of a file
}

// flawText is what is told of a kind of flaw: what is wrong, and what mends it; nothing if it cannot be mended.
type flawText struct{ wrong, mend string }

var flawTexts = map[FlawKind]flawText{
	FlawMailboxSides:     {"a mailbox has no sides", "retire it"},
	FlawMailboxLog:       {"messages are missing in the log of a mailbox", "retire it; its readers are told"},
	FlawMailboxBytes:     {"the size of a mailbox is not that of its messages", "count it again"},
	FlawNameplateMailbox: {"a nameplate has no mailbox", "retire it"},
	FlawNameplateClaims:  {"a nameplate has no claims", "retire it"},
	FlawNameplateWaiting: {"a nameplate is wrongly listed as one that waits, or is not listed", "look at its claims again"},
	FlawOutboxFrames:     {"frames are missing that a session was promised", "end the session; its client is told, and begins a new one"},
	FlawOutboxCounters:   {"the counters of an outbox are not those of its frames", "count them again"},
	FlawSessionOutbox:    {"a session has no outbox", "remove it; its client begins a new one"},
	FlawOrphans:          {"rows belong to nothing", "delete them"},
	FlawUsage:            {"a mailbox was retired without a usage record", ""},
	FlawFile:             {"the file is damaged", ""},
}

// Wrong tells what is wrong, without a name that a client chose, except for the app.
func (f Flaw) Wrong() string {
	text := flawTexts[f.Kind].wrong
	switch {
	case f.Kind == FlawOrphans:
		return fmt.Sprintf("%s: %d in %s", text, f.Rows, f.Text)
	case f.Text != "":
		return text + ": " + f.Text
	case f.Mailbox != 0:
		text += fmt.Sprintf(": mailbox %d", f.Mailbox)
	case f.Nameplate != "":
		text += ": nameplate " + digest(string(f.App), string(f.Nameplate))
	case f.Session != (session.Key{}):
		text += ": session " + f.Session.String()
	}
	if f.App != "" {
		text += " of " + string(f.App)
	}
	return text
}

// Mending tells what mends it. It is empty if nothing does.
func (f Flaw) Mending() string { return flawTexts[f.Kind].mend }
