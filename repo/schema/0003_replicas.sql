-- For several servers on one database.

-- +goose Up
-- The oldest schema version whose servers can work with this schema: servers of the previous version
-- run on while the next one starts. A migration that removes something raises it.
ALTER TABLE modified ADD COLUMN compatible BIGINT NOT NULL DEFAULT 2;

-- Counts changes, by bucket of topics, for servers that cannot use LISTEN.
CREATE TABLE changes (
	bucket BIGINT NOT NULL PRIMARY KEY,
	count  BIGINT NOT NULL
)[[.Clustered]];
