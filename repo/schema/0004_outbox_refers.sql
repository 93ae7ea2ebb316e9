-- An outbox refers to messages instead of copying them, and holds the session's epoch beside its
-- frames' counters: one row, under one lock, says what a session is sent.

-- +goose Up
-- Message logs outlive their mailboxes, for as long as an outbox refers to them. So messages do not
-- refer to mailboxes any more. They are in the order in which they were added, which costs a
-- write less pages than the order of their keys does.
CREATE TABLE logged_messages (
	mailbox   BIGINT NOT NULL,
	position  BIGINT NOT NULL CHECK (position > 0),
	side      [[.Text]]   NOT NULL,
	phase     [[.Text]]   NOT NULL,
	body      BYTEA  NOT NULL,
	id        [[.Text]],
	received  BIGINT NOT NULL,
	PRIMARY KEY (mailbox, position)
);
INSERT INTO logged_messages (mailbox, position, side, phase, body, id, received)
SELECT mailbox, position, side, phase, body, id, received FROM messages ORDER BY mailbox, position;
DROP TABLE messages;
ALTER TABLE logged_messages RENAME TO messages;

-- The logs of mailboxes that are retired. Their messages are deleted later, page by page, and not
-- while an outbox refers to them.
CREATE TABLE retired_logs (
	mailbox BIGINT NOT NULL PRIMARY KEY,
	id      [[.Text]]   NOT NULL, -- of the mailbox: its frames contain it
	retired BIGINT NOT NULL
);

ALTER TABLE outboxes ADD COLUMN epoch BIGINT NOT NULL DEFAULT 1 CHECK (epoch > 0);
-- How many of the frames are stored here; bytes counts theirs. The messages are the log's.
ALTER TABLE outboxes ADD COLUMN frames BIGINT NOT NULL DEFAULT 0 CHECK (frames >= 0);
-- 0 once the session has ended: nothing is sent to it any more.
ALTER TABLE outboxes ADD COLUMN live BIGINT NOT NULL DEFAULT 1 CHECK (live IN (0, 1));
UPDATE outboxes SET
	epoch = (SELECT s.epoch FROM sessions AS s WHERE s.key = outboxes.session),
	frames = (SELECT COUNT(*) FROM frames AS f WHERE f.session = outboxes.session),
	live = (SELECT CASE WHEN s.ended IS NULL THEN 1 ELSE 0 END FROM sessions AS s WHERE s.key = outboxes.session);
ALTER TABLE sessions DROP COLUMN epoch;

-- An entry is a frame as it is sent, or a run: so many messages of a mailbox, from a position on,
-- which have the numbers from seq on.
CREATE TABLE outbox_entries (
	session  BYTEA  NOT NULL REFERENCES sessions (key) ON DELETE CASCADE,
	seq      BIGINT NOT NULL CHECK (seq >= 0),
	count    BIGINT NOT NULL CHECK (count > 0),
	mailbox  BIGINT,
	position BIGINT CHECK (position > 0),
	payload  BYTEA,
	PRIMARY KEY (session, seq),
	CONSTRAINT run_or_frame CHECK (
		(payload IS NULL AND mailbox IS NOT NULL AND position IS NOT NULL) OR
		(payload IS NOT NULL AND mailbox IS NULL AND position IS NULL AND count = 1))
);
-- Does an outbox refer to this log?
CREATE INDEX outbox_entries_mailbox ON outbox_entries (mailbox) WHERE mailbox IS NOT NULL;
INSERT INTO outbox_entries (session, seq, count, payload)
SELECT session, seq, 1, payload FROM frames ORDER BY session, seq;
DROP TABLE frames;

-- Servers of the version before know no outbox that refers.
UPDATE modified SET compatible = 4 WHERE one = 1;
