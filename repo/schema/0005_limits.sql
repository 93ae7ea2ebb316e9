-- For limits by address. An address is stored only as a keyed hash whose key changes daily.

-- +goose Up
-- The keys with which addresses were hashed today and yesterday; day counts from the epoch, in UTC.
CREATE TABLE address_keys (
	day    BIGINT NOT NULL PRIMARY KEY,
	secret BYTEA  NOT NULL
)[[.Clustered]];
-- Earlier versions stored addresses as they are.
UPDATE sessions SET address = '';

-- From which address a nameplate is held; '' is not known, and counts against no limit.
ALTER TABLE claims ADD COLUMN address [[.Text]] NOT NULL DEFAULT '';
CREATE INDEX claims_address ON claims (address) WHERE released IS NULL;

-- Numbers that were nameplates a moment ago, and are not allocated again before a while has passed.
CREATE TABLE resting (
	app    [[.Text]]   NOT NULL,
	number BIGINT NOT NULL CHECK (number BETWEEN 1 AND 999999),
	until  BIGINT NOT NULL,
	PRIMARY KEY (app, number)
)[[.Clustered]];
CREATE INDEX resting_until ON resting (until);

-- Statistics are kept for a while, and without the sides of clients.
UPDATE client_versions SET side = '';
CREATE INDEX client_versions_connected ON client_versions (connected);
CREATE INDEX usage_nameplates_started ON usage_nameplates (started);
CREATE INDEX usage_mailboxes_started ON usage_mailboxes (started);
