package session

import (
	"encoding/binary"
	"time"
)

// Timing is when silence means something. The server drives all of it: a client needs no timer to stay
// attached.
type Timing struct {
	// HeartbeatInterval is the longest time for which a receive is held without a frame.
	HeartbeatInterval time.Duration
	// HeartbeatsUntilDead is how many intervals of silence detach a session.
	HeartbeatsUntilDead int
	// BootGraceUntil is the end of a time in which nothing expires: after a start, after the storage
	// was unavailable, after the process was paused.
	BootGraceUntil time.Time
}

// Silence returns how long an attached session may be silent.
func (t Timing) Silence() time.Duration {
	return t.HeartbeatInterval * time.Duration(t.HeartbeatsUntilDead)
}

// Hold returns how long a receive of this session and epoch is held: the heartbeat interval less up to
// a tenth of it. That share is derived from the session's key. So thousands of polls do not end at the
// same moment, every replica announces the same time, and a poll is held for the time that was announced before.
func (t Timing) Hold(k Key, e Epoch) time.Duration {
	draw := binary.BigEndian.Uint64(k[:8]) ^ (uint64(e) * 0x9e3779b97f4a7c15) // #nosec G115 -- any number will do
	draw ^= draw >> 32
	cut := time.Duration(draw % uint64(max(t.HeartbeatInterval/10, 1))) // #nosec G115 -- below a tenth of an interval
	return (t.HeartbeatInterval - cut).Truncate(time.Millisecond)
}
