-- An operator can end a session, and tell its client why.

-- +goose Up
-- What the client of a session is told that the operator ended; NULL for every other session. Its reason is stored as
-- 'deleted', which servers of earlier versions know.
ALTER TABLE sessions ADD COLUMN ended_text [[.Text]];
