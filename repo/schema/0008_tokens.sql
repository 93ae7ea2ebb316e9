-- When the tokens of clients expire.

-- +goose Up
-- When the token expires with which the client was admitted; NULL if it has none. A session that ended has it only if
-- it ended because of that: its reason is then stored as 'expired', which servers of earlier versions know.
ALTER TABLE sessions ADD COLUMN token_expires BIGINT;
-- When the client is to be asked for a newer one; NULL once it was.
ALTER TABLE sessions ADD COLUMN token_ask_at BIGINT;
CREATE INDEX sessions_token_ask_at ON sessions (token_ask_at, key) WHERE token_ask_at IS NOT NULL AND ended IS NULL;
