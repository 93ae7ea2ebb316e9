package repo

import (
	"testing"

	"restante/rendezvous"
	"restante/session"
)

// A statement makes the writer forget what it may change, also one that is new.
func TestEffectOf(t *testing.T) {
	t.Parallel()
	for query, want := range map[string]effect{
		"SELECT key FROM sessions":      {},
		"\n\tSELECT key FROM mailboxes": {},
		"COMMIT":                        {},
		"SAVEPOINT member":              {},
		"ROLLBACK":                      everything,
		"ROLLBACK TO member":            everything,
		"UPDATE messages SET body = ?":  {},

		"DELETE FROM outbox_entries WHERE session = ?":                     {},
		"UPDATE sessions SET seen = 0":                                     {sessions: true, subscribers: true},
		"UPDATE outboxes SET kept = 0":                                     {sessions: true},
		"\n\tUPDATE mailboxes\n\tSET bytes = 0":                            {mailboxes: true, subscribers: true},
		"DELETE FROM mailbox_sides":                                        {mailboxes: true},
		"DELETE FROM subscriptions WHERE mailbox NOT IN (SELECT 1)":        {subscribers: true},
		"REPLACE INTO sessions VALUES (1)":                                 {sessions: true, subscribers: true},
		"WITH few AS (SELECT 1) UPDATE outboxes SET kept = (SELECT 1)":     {sessions: true},
		"INSERT INTO usage_mailboxes (app) VALUES (?)":                     {},
		"INSERT INTO retired_logs SELECT key FROM mailboxes WHERE key = 1": {mailboxes: true, subscribers: true},
	} {
		if got := effectOf(query); got != want {
			t.Errorf("%q: %+v, want %+v", query, got, want)
		}
	}
	for query := range frequent {
		if harmless.MatchString(query) || undoes.MatchString(query) {
			t.Errorf("%q is no change that something could tell of", query)
		}
	}
}

// A session that goes is no subscriber that is remembered, and a mailbox has no list of another one.
func TestRememberedSubscribers(t *testing.T) {
	t.Parallel()
	r := newRemembered()
	a, b := session.Key{1}, session.Key{2}
	r.putSubscribers(1, []rendezvous.Subscriber{{Key: a}, {Key: b}})
	r.putSubscribers(2, []rendezvous.Subscriber{{Key: b}})
	r.putSubscribers(3, nil)
	r.forgetSubscriptions(a)
	for k, want := range map[rendezvous.MailboxKey]bool{1: false, 2: true, 3: true} {
		if _, known := r.subscribersOf(k); known != want {
			t.Errorf("mailbox %d is remembered: %v, want %v", k, known, want)
		}
	}
	if len(r.subscribed) != 1 || len(r.subscribed[b]) != 1 {
		t.Errorf("these may be among the subscribers: %v, want the second session at the second mailbox", r.subscribed)
	}
}
