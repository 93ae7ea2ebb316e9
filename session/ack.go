package session

import "time"

// Ack says that a session's client has processed every frame below UpTo.
type Ack struct {
	Session Key
	Epoch   Epoch
	UpTo    Seq
}

// Sighting is a sign of life of a session's client.
type Sighting struct {
	Key     Key
	Seen    time.Time
	SweepAt time.Time // when the session is looked at for pruning
}
