package repo

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"restante/rendezvous"
	"restante/session"
)

const (
	// channel is what PostgreSQL calls the name that is listened for; it is the database's own.
	notifyChannel = "restante"
	// payload is how long one notification may be: PostgreSQL takes less than 8,000 bytes.
	maxPayload = 7_900
	// everything, in the place of topics, has everyone look.
	allTopics = "*"
	// listenPing is how often the listening connection is tried, which otherwise only receives
	// and would not notice that it is cut.
	listenPingInterval = 15 * time.Second
	// listenAgain and listenAtMost bound the pauses between attempts to connect again.
	listenMinBackoff = 50 * time.Millisecond
	listenMaxBackoff = 2 * time.Second
)

// listening is the [wire] of LISTEN and NOTIFY: a connection to hear on and one to tell on.
// It needs a session of its own with the database, which a transaction-mode pooler does not give.
type listenTransport struct {
	url    string
	sender string // what our own notifications begin with: we have woken our own already
	db     *sqlx.DB
	log    *slog.Logger
}

// newListening connects when it is first used. A notification needs no fsync: after
// a crash of the database everyone looks anyway.
func newListenTransport(address string, log *slog.Logger) (*listenTransport, error) {
	relaxed, err := withParameter(address, "synchronous_commit", "off")
	if err != nil {
		return nil, err
	}
	db, err := postgresPool(relaxed, notifyTimeout)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	return &listenTransport{url: address, sender: rand.Text()[:13], db: db, log: log}, nil
}

func (l *listenTransport) send(ctx context.Context, topics []rendezvous.Topic, all bool) error {
	notes := []string{allTopics}
	if !all {
		notes = make([]string, len(topics))
		for i, topic := range topics {
			notes[i] = encodeTopic(topic)
		}
	}
	texts := joinUpTo(notes, maxPayload-len(l.sender)-1)
	for i := range texts {
		texts[i] = l.sender + " " + texts[i]
	}
	_, err := l.db.ExecContext(ctx, "SELECT pg_notify('"+notifyChannel+"', text) FROM unnest($1::text[]) AS text", pq.Array(texts))
	return err
}

func (l *listenTransport) receive(ctx context.Context, here Waker) {
	ear := pq.NewDialListener(timeoutDialer{3 * listenPingInterval}, l.url, listenMinBackoff, listenMaxBackoff, l.onConnectionEvent)
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		err := ear.Listen(notifyChannel) // waits until there is a connection
		if err != nil && ctx.Err() == nil {
			l.log.Error("cannot listen for the news of other replicas", "error", err)
		}
		here.WakeIf(anyTopic) // who began to wait before it was listened
	}()
	ping := time.NewTicker(listenPingInterval)
	defer ping.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case n := <-ear.Notify:
			l.onNotification(n, here)
		case <-ping.C:
			go func() { _ = ear.Ping() }() // it waits for the answer; one that fails has it connect again
		}
	}
	_ = ear.Close() // ends Listen, too
	<-stopped
}

// changed hears what becomes of the listening connection.
func (l *listenTransport) onConnectionEvent(event pq.ListenerEventType, err error) {
	switch event {
	case pq.ListenerEventDisconnected:
		l.log.Warn("the connection that listens for the news of other replicas is lost", "error", err)
	case pq.ListenerEventReconnected:
		l.log.Info("listening for the news of other replicas again")
	case pq.ListenerEventConnected, pq.ListenerEventConnectionAttemptFailed:
	}
}

// heard wakes whom a notification is for. None at all means that the connection is
// new, and that some may have been missed.
func (l *listenTransport) onNotification(n *pq.Notification, here Waker) {
	if n == nil {
		here.WakeIf(anyTopic)
		return
	}
	from, notes, _ := strings.Cut(n.Extra, " ")
	if from == l.sender {
		return
	}
	var topics []rendezvous.Topic
	for text := range strings.FieldsSeq(notes) {
		topic, err := decodeTopic(text)
		if err != nil { // everything, or what a newer version says
			here.WakeIf(anyTopic)
			return
		}
		topics = append(topics, topic)
	}
	here.Wake(topics)
}

func (l *listenTransport) close() error { return l.db.Close() }

// note is a topic as it is told: m and the mailbox's key, or s and the session's.
func encodeTopic(topic rendezvous.Topic) string {
	if topic.Mailbox != 0 {
		return "m" + strconv.FormatInt(int64(topic.Mailbox), 10)
	}
	return "s" + base64.RawURLEncoding.EncodeToString(topic.Session[:])
}

var errUnknownTopic = errors.New("not a note that is known here")

// topicOf is the topic of a note.
func decodeTopic(note string) (rendezvous.Topic, error) {
	switch {
	case strings.HasPrefix(note, "m"):
		mailbox, err := strconv.ParseInt(note[1:], 10, 64)
		return rendezvous.Topic{Mailbox: rendezvous.MailboxKey(mailbox)}, err
	case strings.HasPrefix(note, "s"):
		raw, err := base64.RawURLEncoding.DecodeString(note[1:])
		if err != nil || len(raw) != len(session.Key{}) {
			return rendezvous.Topic{}, fmt.Errorf("%w: %q", errUnknownTopic, note)
		}
		return rendezvous.Topic{Session: session.Key(raw)}, nil
	}
	return rendezvous.Topic{}, fmt.Errorf("%w: %q", errUnknownTopic, note)
}
