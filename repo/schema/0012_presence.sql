-- What the sides of a mailbox are told of each other, if one of them asks for it.

-- +goose Up
-- Since when its sides are watched; NULL if no side asked for that. And when its sides were last told that a third
-- one was refused, and what the others have processed.
ALTER TABLE mailboxes ADD COLUMN watched BIGINT;
ALTER TABLE mailboxes ADD COLUMN crowded_told BIGINT;
ALTER TABLE mailboxes ADD COLUMN received_told BIGINT;
CREATE INDEX mailboxes_watched ON mailboxes (key) WHERE watched IS NOT NULL;

-- What the others were last told of a side: that it is here, silent, or for which reason its session ended; '' before
-- they were told anything. And up to which position it has processed the messages of the others.
ALTER TABLE mailbox_sides ADD COLUMN attendance [[.Text]] NOT NULL DEFAULT '';
ALTER TABLE mailbox_sides ADD COLUMN received BIGINT NOT NULL DEFAULT 0 CHECK (received >= 0);

-- What a session is told beside messages, and how far its acknowledgements were looked at.
ALTER TABLE subscriptions ADD COLUMN presence BIGINT NOT NULL DEFAULT 0 CHECK (presence IN (0, 1));
ALTER TABLE subscriptions ADD COLUMN receipts BIGINT NOT NULL DEFAULT 0 CHECK (receipts IN (0, 1));
ALTER TABLE subscriptions ADD COLUMN examined BIGINT NOT NULL DEFAULT -1;
