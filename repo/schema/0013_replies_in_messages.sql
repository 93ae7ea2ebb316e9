-- On SQLite, the reply to a command that added a message is stored with the message.

-- +goose Up
-- The command that added the message, if the reply to it is here: its number, its fingerprint and its outcome. And the
-- message with the reply before it of the same session. Nothing checks that a row has all of them or none: that would
-- read the whole table while the server starts.
ALTER TABLE messages ADD COLUMN command BIGINT;
ALTER TABLE messages ADD COLUMN fingerprint BYTEA;
ALTER TABLE messages ADD COLUMN outcome BYTEA;
ALTER TABLE messages ADD COLUMN earlier_mailbox BIGINT;
ALTER TABLE messages ADD COLUMN earlier_position BIGINT;

-- The message with the session's latest reply of that kind; NULL if there is none.
ALTER TABLE sessions ADD COLUMN replied_mailbox BIGINT;
ALTER TABLE sessions ADD COLUMN replied_position BIGINT;
