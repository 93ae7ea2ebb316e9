package rendezvous

import "time"

// Draft is a message before it has a position.
type Draft struct {
	Phase string
	Body  string
	ID    *string // echoed, never used to deduplicate
}

// Message is a message in its mailbox.
type Message struct {
	Position Position
	Side     Side
	Draft
	Received time.Time
}
