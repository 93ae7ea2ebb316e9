package rendezvous

import (
	"restante/internal/logcache"
	"restante/session"
)

// mailboxLogs are the messages of the mailboxes that sockets follow on this process.
type mailboxLogs = logcache.Cache[MailboxKey, Position, Message, logMeta]

// logMeta is what else is known of the mailbox of a log.
type logMeta struct {
	crowded bool // a third side was refused
}

// entrySize is what an entry takes in memory, in bytes, besides its strings and its payload. Without
// it, entries without a body would take memory that no bound sees.
const entrySize = 128

// LogEntry returns the message's position and what it takes in memory: see [logcache.Entry].
func (m Message) LogEntry() (number Position, size int) {
	size = entrySize + len(m.Side) + len(m.Phase) + len(m.Body)
	if m.ID != nil {
		size += len(*m.ID)
	}
	return m.Position, size
}

// outboxLogs are the frames of the sessions that receive on this process, with the sessions as they
// are stored. The stored Next is out of date: the number of the last frame tells it.
type outboxLogs = logcache.Cache[session.Key, session.Seq, numberedFrame, Session]

// numberedFrame is a frame in the form in which it is sent.
type numberedFrame struct {
	seq     session.Seq
	payload []byte
}

// LogEntry returns the frame's number and what it takes in memory: see [logcache.Entry].
func (f numberedFrame) LogEntry() (number session.Seq, size int) {
	return f.seq, entrySize + len(f.payload)
}
