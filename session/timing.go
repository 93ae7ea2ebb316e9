package session

import (
	"encoding/binary"
	"time"
)

// Timing is when silence means something. The server drives all of it: a client
// needs no timer to stay attached.
type Timing struct {
	// HeartbeatInterval is the longest a receive is held without a frame.
	HeartbeatInterval time.Duration
	// HeartbeatsUntilDead is how many intervals of silence detach a session.
	HeartbeatsUntilDead int
	// Slack is how far the stored sign of life may lag behind the true one. It is for
	// whoever stores it: [Record.State] takes [Record.Seen] as it is.
	Slack time.Duration
	// BootGraceUntil is the end of a grace in which nothing expires: after a start,
	// after the storage was away, after the process itself was paused.
	BootGraceUntil time.Time
}

// Silence is how long an attached session may be silent.
func (t Timing) Silence() time.Duration {
	return t.HeartbeatInterval * time.Duration(t.HeartbeatsUntilDead)
}

// Hold is how long a receive of this session and epoch is held: the heartbeat
// interval less up to a tenth. The share is drawn from the session's key, so
// thousands of polls do not end together, every replica announces the same, and
// a poll can be held for exactly what was announced before.
func (t Timing) Hold(k Key, e Epoch) time.Duration {
	draw := binary.BigEndian.Uint64(k[:8]) ^ (uint64(e) * 0x9e3779b97f4a7c15) // #nosec G115 -- any number will do
	draw ^= draw >> 32
	cut := time.Duration(draw % uint64(max(t.HeartbeatInterval/10, 1))) // #nosec G115 -- below a tenth of an interval
	return (t.HeartbeatInterval - cut).Truncate(time.Millisecond)
}
