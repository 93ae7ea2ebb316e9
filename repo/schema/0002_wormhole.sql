-- What wormhole clients add: sockets that hold mailboxes, and versions worth knowing. And room for a probe.

-- +goose Up
-- The last sign of life of a socket that had the mailbox open; 0 if none had.
ALTER TABLE mailboxes ADD COLUMN held BIGINT NOT NULL DEFAULT 0;

-- What a probe of the storage writes and removes.
ALTER TABLE modified ADD COLUMN room BYTEA;

-- Which clients come, in the words of the reference server's usage database.
CREATE TABLE client_versions (
	app            [[.Text]]   NOT NULL,
	side           [[.Text]]   NOT NULL,
	connected      BIGINT NOT NULL,
	implementation [[.Text]],
	version        [[.Text]]
);
