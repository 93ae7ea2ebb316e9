-- For the limits of bytes that are stored: of an address, and in all.

-- +goose Up
-- About how many bytes a mailbox takes with its messages, and what belongs to them.
ALTER TABLE mailboxes ADD COLUMN stored BIGINT NOT NULL DEFAULT 0 CHECK (stored >= 0);
-- What is there already counts for no address: it is not known from where it came.
UPDATE mailboxes SET stored = 1024 + bytes + 128 * last_position;

-- How much of what a mailbox takes counts for which address, in steps. A row stays until the mailbox's log is deleted.
CREATE TABLE stored_bytes (
	mailbox BIGINT NOT NULL,
	address [[.Text]]   NOT NULL,
	bytes   BIGINT NOT NULL CHECK (bytes > 0),
	PRIMARY KEY (mailbox, address)
)[[.Clustered]];

-- Recorded replies count, too: for the address from which the command came, so many bytes.
ALTER TABLE keyed_replies ADD COLUMN address [[.Text]] NOT NULL DEFAULT '';
ALTER TABLE keyed_replies ADD COLUMN size BIGINT NOT NULL DEFAULT 0;
