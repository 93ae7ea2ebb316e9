package rendezvous

import (
	"testing"

	"restante/session"
)

func TestMessagesWithoutABodyReachTheBoundOfWhatIsRemembered(t *testing.T) {
	t.Parallel()
	const many = 57_600
	var logs mailboxLogs
	defer logs.Retain(1)()
	logs.Fill(1, logs.Version(1), 0, logMeta{})
	for n := range Position(many) {
		logs.Append(1, Message{Position: n + 1})
	}
	if _, known := logs.After(1, 0); known {
		t.Errorf("all of %d messages without a body are remembered", many)
	}
	if _, known := logs.After(1, many-1); !known {
		t.Error("the newest message is not remembered")
	}
}

func TestFramesWithoutAPayloadReachTheBoundOfWhatIsRemembered(t *testing.T) {
	t.Parallel()
	const size = 64 // at least
	if _, n := (numberedFrame{seq: session.Seq(1)}).LogEntry(); n < size {
		t.Errorf("a frame without a payload counts %d bytes, want at least %d", n, size)
	}
}

func TestAllStringsOfAMessageCount(t *testing.T) {
	t.Parallel()
	id := "four"
	_, empty := Message{}.LogEntry()
	_, full := Message{Side: "s", Draft: Draft{Phase: "ph", Body: "bod", ID: &id}}.LogEntry()
	if got, want := full-empty, 1+2+3+4; got != want {
		t.Errorf("the strings count %d bytes, want %d", got, want)
	}
}
