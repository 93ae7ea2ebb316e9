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
	// notifyChannel is the channel of LISTEN and NOTIFY; each database has its own.
	notifyChannel = "restante"
	// maxPayload is the size of a notification in bytes: PostgreSQL accepts less than 8,000.
	maxPayload = 7_900
	// allTopics, instead of topics, wakes every topic.
	allTopics = "*"
	// listenPingInterval is how often the listening connection is pinged: it otherwise only
	// receives and would not notice that it is cut.
	listenPingInterval = 15 * time.Second
	// listenMinBackoff and listenMaxBackoff bound the pauses between attempts to reconnect.
	listenMinBackoff = 50 * time.Millisecond
	listenMaxBackoff = 2 * time.Second
)

// listenTransport is the [notifyTransport] on LISTEN and NOTIFY, with one connection to receive
// and one to send. It needs a session with the database, which a transaction-mode pooler does not give.
type listenTransport struct {
	url    string
	sender string // begins our own notifications, which are ignored: Announce's caller has woken our own requests
	db     *sqlx.DB
	log    *slog.Logger
}

// newListenTransport returns a transport that connects at its first use. A notification needs no
// fsync: every topic is woken anyway after a crash of the database.
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

func (l *listenTransport) receive(ctx context.Context, waker wakes) {
	listener := pq.NewDialListener(timeoutDialer{3 * listenPingInterval}, l.url, listenMinBackoff, listenMaxBackoff, l.onConnectionEvent)
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		err := listener.Listen(notifyChannel) // blocks until there is a connection
		if err != nil && ctx.Err() == nil {
			l.log.Error("cannot listen for notifications of other replicas", "error", err)
		}
		waker.wakeAll() // requests may have missed a notification before LISTEN
	}()
	ping := time.NewTicker(listenPingInterval)
	defer ping.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case n := <-listener.Notify:
			l.onNotification(n, waker)
		case <-ping.C:
			go func() { _ = listener.Ping() }() // blocks until the answer; a failed ping reconnects
		}
	}
	_ = listener.Close() // also ends Listen
	<-stopped
}

// onConnectionEvent logs when the listening connection is lost and when it is back.
func (l *listenTransport) onConnectionEvent(event pq.ListenerEventType, err error) {
	switch event {
	case pq.ListenerEventDisconnected:
		l.log.Warn("lost the connection that listens for notifications of other replicas", "error", err)
	case pq.ListenerEventReconnected:
		l.log.Info("listening for notifications of other replicas again")
	case pq.ListenerEventConnected, pq.ListenerEventConnectionAttemptFailed:
	}
}

// onNotification wakes the topics of a notification. nil means that the connection is new
// and that notifications may have been missed.
func (l *listenTransport) onNotification(n *pq.Notification, waker wakes) {
	if n == nil {
		waker.wakeAll()
		return
	}
	from, notes, _ := strings.Cut(n.Extra, " ")
	if from == l.sender {
		return
	}
	var topics []rendezvous.Topic
	for text := range strings.FieldsSeq(notes) {
		topic, err := decodeTopic(text)
		if err != nil { // allTopics, or a text of a newer version
			waker.wakeAll()
			return
		}
		topics = append(topics, topic)
	}
	waker.Wake(topics)
}

func (l *listenTransport) close() error { return l.db.Close() }

// encodeTopic returns a topic as text: m and the mailbox's key, or s and the session's.
func encodeTopic(topic rendezvous.Topic) string {
	if topic.Mailbox != 0 {
		return "m" + strconv.FormatInt(int64(topic.Mailbox), 10)
	}
	return "s" + base64.RawURLEncoding.EncodeToString(topic.Session[:])
}

var errUnknownTopic = errors.New("unknown topic")

// decodeTopic returns the topic of a text of encodeTopic.
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
