-- What is still to be told to the webhooks of apps.

-- +goose Up
-- One row for each mailbox of which something is to be told. As long as there is one, the mailbox's log is kept.
CREATE TABLE dispatches (
	mailbox    BIGINT NOT NULL PRIMARY KEY, -- its key; the mailbox itself may be retired
	app        [[.Text]]   NOT NULL,
	id         [[.Text]]   NOT NULL, -- of the mailbox
	sent       BIGINT NOT NULL CHECK (sent >= 0), -- the last position that was told
	last       BIGINT NOT NULL,                   -- the last position that is to be told
	reason     [[.Text]] CHECK (reason IN ('closed', 'pruned')), -- why the mailbox was retired
	retired    BIGINT,
	since      BIGINT NOT NULL, -- when something was told last, or when there was something to tell
	attempts   BIGINT NOT NULL CHECK (attempts >= 0), -- that failed since then
	due        BIGINT NOT NULL, -- when it is tried next; while one server tries, when another one may
	sender     [[.Text]]   NOT NULL, -- which server tries; empty if none does
	abandoned  BIGINT NOT NULL CHECK (abandoned IN (0, 1)), -- 1 if it is not tried any more
	CONSTRAINT sent_is_of_the_log CHECK (sent <= last),
	CONSTRAINT reason_iff_retired CHECK ((retired IS NULL) = (reason IS NULL))
);
CREATE INDEX dispatches_due ON dispatches (app, due) WHERE abandoned = 0;
CREATE INDEX dispatches_since ON dispatches (since);
CREATE INDEX dispatches_abandoned ON dispatches (mailbox) WHERE abandoned = 1;
