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
	channel = "restante"
	// payload is how long one notification may be: PostgreSQL takes less than 8,000 bytes.
	payload = 7_900
	// everything, in the place of topics, has everyone look.
	everything = "*"
	// listenPing is how often the listening connection is tried, which otherwise only receives
	// and would not notice that it is cut.
	listenPing = 15 * time.Second
	// listenAgain and listenAtMost bound the pauses between attempts to connect again.
	listenAgain  = 50 * time.Millisecond
	listenAtMost = 2 * time.Second
)

// listening is the [wire] of LISTEN and NOTIFY: a connection to hear on and one to tell on.
// It needs a session of its own with the database, which a transaction-mode pooler does not give.
type listening struct {
	url  string
	self string // what our own notifications begin with: we have woken our own already
	db   *sqlx.DB
	log  *slog.Logger
}

// newListening connects when it is first used. A notification needs no fsync: after
// a crash of the database everyone looks anyway.
func newListening(address string, log *slog.Logger) (*listening, error) {
	relaxed, err := withParameter(address, "synchronous_commit", "off")
	if err != nil {
		return nil, err
	}
	db, err := postgresPool(relaxed, notifyTimeout)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	return &listening{url: address, self: rand.Text()[:13], db: db, log: log}, nil
}

func (l *listening) tell(ctx context.Context, topics []rendezvous.Topic, all bool) error {
	notes := []string{everything}
	if !all {
		notes = make([]string, len(topics))
		for i, topic := range topics {
			notes[i] = note(topic)
		}
	}
	texts := chunks(notes, payload-len(l.self)-1)
	for i := range texts {
		texts[i] = l.self + " " + texts[i]
	}
	_, err := l.db.ExecContext(ctx, "SELECT pg_notify('"+channel+"', text) FROM unnest($1::text[]) AS text", pq.Array(texts))
	return err
}

func (l *listening) hear(ctx context.Context, here Waker) {
	ear := pq.NewDialListener(watchful{3 * listenPing}, l.url, listenAgain, listenAtMost, l.changed)
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		err := ear.Listen(channel) // waits until there is a connection
		if err != nil && ctx.Err() == nil {
			l.log.Error("cannot listen for the news of other replicas", "error", err)
		}
		here.WakeIf(everyone) // who began to wait before it was listened
	}()
	ping := time.NewTicker(listenPing)
	defer ping.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case n := <-ear.Notify:
			l.heard(n, here)
		case <-ping.C:
			go func() { _ = ear.Ping() }() // it waits for the answer; one that fails has it connect again
		}
	}
	_ = ear.Close() // ends Listen, too
	<-stopped
}

// changed hears what becomes of the listening connection.
func (l *listening) changed(event pq.ListenerEventType, err error) {
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
func (l *listening) heard(n *pq.Notification, here Waker) {
	if n == nil {
		here.WakeIf(everyone)
		return
	}
	from, notes, _ := strings.Cut(n.Extra, " ")
	if from == l.self {
		return
	}
	var topics []rendezvous.Topic
	for text := range strings.FieldsSeq(notes) {
		topic, err := topicOf(text)
		if err != nil { // everything, or what a newer version says
			here.WakeIf(everyone)
			return
		}
		topics = append(topics, topic)
	}
	here.Wake(topics)
}

func (l *listening) close() error { return l.db.Close() }

// note is a topic as it is told: m and the mailbox's key, or s and the session's.
func note(topic rendezvous.Topic) string {
	if topic.Mailbox != 0 {
		return "m" + strconv.FormatInt(int64(topic.Mailbox), 10)
	}
	return "s" + base64.RawURLEncoding.EncodeToString(topic.Session[:])
}

var errNoNote = errors.New("not a note that is known here")

// topicOf is the topic of a note.
func topicOf(note string) (rendezvous.Topic, error) {
	switch {
	case strings.HasPrefix(note, "m"):
		mailbox, err := strconv.ParseInt(note[1:], 10, 64)
		return rendezvous.Topic{Mailbox: rendezvous.MailboxKey(mailbox)}, err
	case strings.HasPrefix(note, "s"):
		raw, err := base64.RawURLEncoding.DecodeString(note[1:])
		if err != nil || len(raw) != len(session.Key{}) {
			return rendezvous.Topic{}, fmt.Errorf("%w: %q", errNoNote, note)
		}
		return rendezvous.Topic{Session: session.Key(raw)}, nil
	}
	return rendezvous.Topic{}, fmt.Errorf("%w: %q", errNoNote, note)
}
