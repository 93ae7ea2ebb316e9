-- What several servers on one database need to know of each other.

-- +goose Up
-- The oldest schema whose servers can work with this one: those of the version before go on
-- while the next one starts. A migration that takes something away raises it.
ALTER TABLE modified ADD COLUMN compatible BIGINT NOT NULL DEFAULT 2;

-- Counts changes, by bucket of topics, for servers that cannot be notified.
CREATE TABLE changes (
	bucket BIGINT NOT NULL PRIMARY KEY,
	count  BIGINT NOT NULL
)[[.Clustered]];
