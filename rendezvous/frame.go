package rendezvous

import (
	"bytes"
	"encoding/json"
	"strconv"
	"time"

	"restante/session"
)

// Frame is what a session is sent: [MessageFrame], [OpenedFrame], [ClosedFrame], [RetiredFrame] or [RehandshakeFrame],
// and if it asks for them [PresenceFrame], [ReceivedFrame] and [CrowdedFrame]. It
// is stored as the JSON document in which it is sent, so a frame that is sent again has the same
// bytes, also after its mailbox is gone.
//
//sumtype:decl
type Frame interface{ frame() }

// MessageFrame is a message of a mailbox that the session subscribes to.
type MessageFrame struct{ Message Message }

// OpenedFrame says that the other side opened the mailbox.
type OpenedFrame struct{ Side Side }

// ClosedFrame says that a side closed the mailbox.
type ClosedFrame struct {
	Side Side
	Mood Mood
}

// RetiredFrame is always the last frame of its mailbox.
type RetiredFrame struct {
	Reason RetiredReason
	Last   Position
}

// RehandshakeFrame asks the client for a newer token. It belongs to no mailbox.
type RehandshakeFrame struct {
	Expires time.Time // when the token of the session expires
}

// PresenceFrame says whether another side is there.
type PresenceFrame struct {
	Side       Side
	Attendance Attendance
}

// ReceivedFrame says up to which position another side has processed the messages of the others.
type ReceivedFrame struct {
	Side     Side
	Position Position
}

// CrowdedFrame says that a third side was refused.
type CrowdedFrame struct{}

// RetiredReason says why a mailbox was retired.
type RetiredReason string

// The reasons for which a mailbox is retired.
const (
	RetiredClosed RetiredReason = "closed" // every side that entered has closed
	RetiredPruned RetiredReason = "pruned" // it was stale
)

func (MessageFrame) frame()  {}
func (OpenedFrame) frame()   {}
func (ClosedFrame) frame()   {}
func (RetiredFrame) frame()  {}
func (PresenceFrame) frame() {}
func (ReceivedFrame) frame() {}
func (CrowdedFrame) frame()  {}

func (RehandshakeFrame) frame() {}

// document is the wire form of every frame, as the contract describes it.
type document struct {
	Seq      session.Seq `json:"seq"`
	Type     string      `json:"type"`
	Mailbox  *MailboxID  `json:"mailbox,omitempty"`
	Position Position    `json:"position,omitempty"`
	Side     *Side       `json:"side,omitempty"`
	Phase    *string     `json:"phase,omitempty"`
	Body     *string     `json:"body,omitempty"`
	ID       *string     `json:"id,omitempty"`
	ServerRx *int64      `json:"serverRx,omitempty"`
	Mood     Mood        `json:"mood,omitempty"`
	State    string      `json:"state,omitempty"`
	Reason   string      `json:"reason,omitempty"`
	Last     *Position   `json:"lastPosition,omitempty"`
	Expires  *int64      `json:"tokenExpiresAt,omitempty"`
}

// Encode returns the wire form of a frame with its number.
func Encode(f Frame, of MailboxID, seq session.Seq) []byte {
	d := document{Seq: seq, Mailbox: &of}
	switch f := f.(type) {
	case MessageFrame:
		m := f.Message
		received := millis(m.Received)
		d.Type, d.Position, d.Side, d.Phase, d.Body, d.ID, d.ServerRx = "message", m.Position, &m.Side, &m.Phase, &m.Body, m.ID, &received
	case OpenedFrame:
		d.Type, d.Side = "opened", &f.Side
	case ClosedFrame:
		d.Type, d.Side, d.Mood = "closed", &f.Side, f.Mood
	case RetiredFrame:
		d.Type, d.Reason, d.Last = "retired", string(f.Reason), &f.Last
	case PresenceFrame:
		d.Type, d.Side = "presence", &f.Side
		d.State, d.Reason = f.Attendance.State()
	case ReceivedFrame:
		d.Type, d.Side, d.Position = "received", &f.Side, f.Position
	case CrowdedFrame:
		d.Type = "crowded"
	case RehandshakeFrame:
		expires := millis(f.Expires)
		d.Type, d.Mailbox, d.Expires = "rehandshake", nil, &expires
	}
	payload, err := json.Marshal(d)
	if err != nil {
		panic("unreachable: a document of strings and numbers always encodes: " + err.Error())
	}
	return payload
}

// received begins the last member of a message's frame.
var received = []byte(`"serverRx":`)

// receivedAt returns when the message of a frame was received. It returns false if the frame has no message. It reads
// only the end of the frame.
func receivedAt(frame []byte) (time.Time, bool) {
	const longest = 32
	end := bytes.TrimSuffix(frame[max(0, len(frame)-longest):], []byte("}"))
	i := bytes.LastIndex(end, received) // in a string, a backslash precedes its quotes
	if i < 0 {
		return time.Time{}, false
	}
	at, err := strconv.ParseInt(string(end[i+len(received):]), 10, 64)
	return time.UnixMilli(at), err == nil
}
