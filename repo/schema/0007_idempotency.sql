-- Replies that are recorded under an idempotency key of the client.

-- +goose Up
CREATE TABLE keyed_replies (
	id          BYTEA  NOT NULL PRIMARY KEY, -- a hash of the client and of its idempotency key
	fingerprint BYTEA  NOT NULL,
	outcome     BYTEA  NOT NULL,
	until       BIGINT NOT NULL -- when it is forgotten
)[[.Clustered]];
CREATE INDEX keyed_replies_until ON keyed_replies (until);
