-- Which servers use the database, and how many nameplates and mailboxes ended, since the database was made.

-- +goose Up
CREATE TABLE servers (
	id      [[.Text]]   NOT NULL PRIMARY KEY, -- random, for one run of a server
	version [[.Text]]   NOT NULL,
	started BIGINT NOT NULL,
	seen    BIGINT NOT NULL, -- its last sign of life
	skew    BIGINT NOT NULL, -- by how much the storage's clock was ahead of its machine's
	pruned  BIGINT NOT NULL  -- when it last finished a run of pruning in which nothing failed; 0 if it has not
)[[.Clustered]];
CREATE INDEX servers_seen ON servers (seen);

-- Usage records are deleted after a while, and counted before that.
CREATE TABLE usage_totals (
	kind   [[.Text]]   NOT NULL CHECK (kind IN ('nameplate', 'mailbox')),
	result [[.Text]]   NOT NULL,
	count  BIGINT NOT NULL CHECK (count >= 0),
	PRIMARY KEY (kind, result)
)[[.Clustered]];
ALTER TABLE usage_nameplates ADD COLUMN counted BIGINT NOT NULL DEFAULT 0 CHECK (counted IN (0, 1));
ALTER TABLE usage_mailboxes ADD COLUMN counted BIGINT NOT NULL DEFAULT 0 CHECK (counted IN (0, 1));
CREATE INDEX usage_nameplates_uncounted ON usage_nameplates (started, result) WHERE counted = 0;
CREATE INDEX usage_mailboxes_uncounted ON usage_mailboxes (started, result) WHERE counted = 0;
