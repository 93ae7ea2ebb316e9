-- One schema for both engines. They differ in what replaces the names in double brackets.
-- Times and durations are integer milliseconds. A session's id is stored only as its SHA-256.
-- The constraints restate what the types say in Go.

-- +goose Up
CREATE TABLE mailboxes (
	key           [[.Identity]],
	app           [[.Text]]   NOT NULL,
	id            [[.Text]]   NOT NULL,
	created       BIGINT NOT NULL,
	updated       BIGINT NOT NULL,
	ttl           BIGINT NOT NULL CHECK (ttl > 0),
	stale_at      BIGINT NOT NULL,
	for_nameplate BIGINT NOT NULL CHECK (for_nameplate IN (0, 1)),
	crowded       BIGINT NOT NULL CHECK (crowded IN (0, 1)),
	last_position BIGINT NOT NULL CHECK (last_position >= 0),
	bytes         BIGINT NOT NULL CHECK (bytes >= 0),
	UNIQUE (app, id)
);
CREATE INDEX mailboxes_stale ON mailboxes (stale_at, key);

CREATE TABLE mailbox_sides (
	mailbox BIGINT NOT NULL REFERENCES mailboxes (key) ON DELETE CASCADE,
	app     [[.Text]]   NOT NULL,
	side    [[.Text]]   NOT NULL,
	entered BIGINT NOT NULL,
	opened  BIGINT,
	closed  BIGINT,
	mood    [[.Text]] CHECK (mood IN ('happy', 'lonely', 'scary', 'errory')),
	PRIMARY KEY (mailbox, side),
	CONSTRAINT mood_iff_closed CHECK ((closed IS NULL) = (mood IS NULL))
)[[.Clustered]];
-- Which mailboxes is a side in?
CREATE INDEX mailbox_sides_in ON mailbox_sides (app, side, mailbox) WHERE closed IS NULL;

CREATE TABLE messages (
	mailbox   BIGINT NOT NULL REFERENCES mailboxes (key) ON DELETE CASCADE,
	position  BIGINT NOT NULL CHECK (position > 0),
	side      [[.Text]]   NOT NULL,
	phase     [[.Text]]   NOT NULL,
	body      BYTEA  NOT NULL,
	id        [[.Text]],
	received  BIGINT NOT NULL,
	PRIMARY KEY (mailbox, position)
)[[.Clustered]];

CREATE TABLE nameplates (
	app      [[.Text]]   NOT NULL,
	id       [[.Text]]   NOT NULL,
	-- The number, if the server could allocate it.
	number   BIGINT CHECK (number BETWEEN 1 AND 999999),
	mailbox  BIGINT NOT NULL REFERENCES mailboxes (key),
	created  BIGINT NOT NULL,
	stale_at BIGINT NOT NULL,
	crowded  BIGINT NOT NULL CHECK (crowded IN (0, 1)),
	-- 1 if exactly one side has claimed it and has not released it.
	waiting  BIGINT NOT NULL CHECK (waiting IN (0, 1)),
	PRIMARY KEY (app, id)
)[[.Clustered]];
CREATE INDEX nameplates_mailbox ON nameplates (mailbox);
CREATE INDEX nameplates_stale ON nameplates (stale_at, app, id);
CREATE INDEX nameplates_number ON nameplates (app, number) WHERE number IS NOT NULL;
CREATE INDEX nameplates_waiting ON nameplates (app, id) WHERE waiting = 1;

CREATE TABLE claims (
	app       [[.Text]]   NOT NULL,
	nameplate [[.Text]]   NOT NULL,
	side      [[.Text]]   NOT NULL,
	since     BIGINT NOT NULL,
	released  BIGINT,
	-- app is not first: SQLite would scan the app's claims to find those of a side.
	PRIMARY KEY (nameplate, app, side),
	FOREIGN KEY (app, nameplate) REFERENCES nameplates (app, id) ON DELETE CASCADE
)[[.Clustered]];
-- Which nameplates does a side hold?
CREATE INDEX claims_held ON claims (app, side, nameplate) WHERE released IS NULL;

CREATE TABLE sessions (
	key      BYTEA  NOT NULL PRIMARY KEY,
	app      [[.Text]]   NOT NULL,
	side     [[.Text]]   NOT NULL,
	address  [[.Text]]   NOT NULL,
	began    BIGINT NOT NULL,
	-- Rises with each session that begins with the same side: the latest one owns the side.
	turn     BIGINT NOT NULL CHECK (turn > 0),
	epoch    BIGINT NOT NULL CHECK (epoch > 0),
	wanted   BIGINT NOT NULL CHECK (wanted >= 0),
	seen     BIGINT NOT NULL,
	grace    BIGINT NOT NULL CHECK (grace >= 0),
	used     BIGINT NOT NULL CHECK (used IN (0, 1)),
	ended    BIGINT,
	reason   [[.Text]] CHECK (reason IN ('expired', 'replaced', 'deleted', 'overflow')),
	sweep_at BIGINT NOT NULL,
	CONSTRAINT reason_iff_ended CHECK ((ended IS NULL) = (reason IS NULL))
)[[.Clustered]];
-- A side has one live session; and which session had it last?
CREATE UNIQUE INDEX sessions_live ON sessions (app, side) WHERE ended IS NULL;
CREATE UNIQUE INDEX sessions_owner ON sessions (app, side, turn);
CREATE INDEX sessions_sweep ON sessions (sweep_at, key);
CREATE INDEX sessions_address_live ON sessions (address) WHERE ended IS NULL;
CREATE INDEX sessions_address_ended ON sessions (address, ended) WHERE ended IS NOT NULL;
CREATE INDEX sessions_ended ON sessions (ended) WHERE ended IS NOT NULL;

-- The frames' counters are in a table of their own, apart from the commands' counter: a transaction
-- that sends frames to a session never waits for the session's own commands.
CREATE TABLE outboxes (
	session BYTEA  NOT NULL PRIMARY KEY REFERENCES sessions (key) ON DELETE CASCADE,
	kept    BIGINT NOT NULL CHECK (kept >= 0),
	next    BIGINT NOT NULL,
	bytes   BIGINT NOT NULL CHECK (bytes >= 0),
	CONSTRAINT kept_was_numbered CHECK (kept <= next)
)[[.Clustered]];

CREATE TABLE frames (
	session BYTEA  NOT NULL REFERENCES sessions (key) ON DELETE CASCADE,
	seq     BIGINT NOT NULL CHECK (seq >= 0),
	payload BYTEA  NOT NULL,
	PRIMARY KEY (session, seq)
)[[.Clustered]];

CREATE TABLE replies (
	session     BYTEA  NOT NULL REFERENCES sessions (key) ON DELETE CASCADE,
	seq         BIGINT NOT NULL CHECK (seq >= 0),
	fingerprint BYTEA  NOT NULL,
	outcome     BYTEA  NOT NULL,
	PRIMARY KEY (session, seq)
)[[.Clustered]];

CREATE TABLE subscriptions (
	mailbox BIGINT NOT NULL REFERENCES mailboxes (key) ON DELETE CASCADE,
	session BYTEA  NOT NULL REFERENCES sessions (key) ON DELETE CASCADE,
	PRIMARY KEY (mailbox, session)
)[[.Clustered]];
CREATE INDEX subscriptions_session ON subscriptions (session);

-- Usage records of what was retired. Results are those of rendezvous.Result.
CREATE TABLE usage_nameplates (
	app     [[.Text]]   NOT NULL,
	started BIGINT NOT NULL,
	waiting BIGINT,
	total   BIGINT NOT NULL,
	result  [[.Text]]   NOT NULL CHECK (result IN ('happy', 'lonely', 'pruney', 'crowded', 'quiet'))
);
CREATE TABLE usage_mailboxes (
	app           [[.Text]]   NOT NULL,
	for_nameplate BIGINT NOT NULL CHECK (for_nameplate IN (0, 1)),
	started       BIGINT NOT NULL,
	waiting       BIGINT,
	total         BIGINT NOT NULL,
	result        [[.Text]]   NOT NULL CHECK (result IN ('happy', 'lonely', 'scary', 'errory', 'pruney', 'crowded', 'quiet'))
);

-- When the last modification was committed: one row.
CREATE TABLE modified (
	one     BIGINT NOT NULL PRIMARY KEY CHECK (one = 1),
	updated BIGINT NOT NULL
);
INSERT INTO modified (one, updated) VALUES (1, 0);
