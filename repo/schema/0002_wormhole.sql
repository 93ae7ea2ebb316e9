-- For wormhole clients: sockets that hold mailboxes, and client versions. And room for a probe.

-- +goose Up
-- The last sign of life of a socket that had the mailbox open; 0 if there was none.
ALTER TABLE mailboxes ADD COLUMN held BIGINT NOT NULL DEFAULT 0;

-- The bytes that a probe of the storage writes and deletes.
ALTER TABLE modified ADD COLUMN room BYTEA;

-- Which clients connect; the columns have the names of the reference server's usage database.
CREATE TABLE client_versions (
	app            [[.Text]]   NOT NULL,
	side           [[.Text]]   NOT NULL,
	connected      BIGINT NOT NULL,
	implementation [[.Text]],
	version        [[.Text]]
);
