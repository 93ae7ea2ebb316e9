package rendezvous

import (
	"errors"
	"strings"
	"time"
	"unicode/utf8"
)

// An AppID is a namespace: nothing crosses it.
type AppID string

// A Side is one participant, a short random string. A mailbox has at most two.
type Side string

// A SideRef names a side without a session: a wormhole client. The wormhole protocol does not authenticate
// a side, so the client is believed.
type SideRef struct {
	App  AppID
	Side Side
	// Address is the [Service.AddressID] from which it asks; "" counts against no limit.
	Address string
}

// A NameplateID is the short decimal number that people type.
type NameplateID string

// A MailboxID names a mailbox. A nameplate points to one, and two sides may also agree on one by other
// means.
type MailboxID string

// A MailboxKey is the key of one mailbox. The same id opened again after the mailbox was retired is
// another mailbox with another key. Keys are never used again.
type MailboxKey int64

// A Position is a message's place in its mailbox, from 1 and without gaps.
type Position int64

// A Mood is how a side felt when it closed.
type Mood string

// The moods of the wormhole protocol.
const (
	Happy  Mood = "happy"
	Lonely Mood = "lonely"
	Scary  Mood = "scary"
	Errory Mood = "errory"
)

// ParseMood parses one of the four moods. An empty text is [Happy].
func ParseMood(s string) (Mood, error) {
	switch m := Mood(s); m {
	case "":
		return Happy, nil
	case Happy, Lonely, Scary, Errory:
		return m, nil
	}
	return "", errors.New("a mood is one of happy, lonely, scary and errory")
}

// ParseNameplate parses one to forty ASCII digits. It keeps them as they are: 7 and 007 are two
// nameplates.
func ParseNameplate(s string) (NameplateID, error) {
	if len(s) < 1 || len(s) > 40 || strings.Trim(s, "0123456789") != "" {
		return "", errors.New("a nameplate is 1 to 40 of the digits 0-9")
	}
	return NameplateID(s), nil
}

// Storable reports whether every storage engine can keep a text: valid UTF-8 without NUL, which
// PostgreSQL refuses.
func Storable(s string) bool { return utf8.ValidString(s) && !strings.ContainsRune(s, 0) }

// millis returns the wire form of a time: integer milliseconds since the epoch.
func millis(t time.Time) int64 { return t.UnixMilli() }
