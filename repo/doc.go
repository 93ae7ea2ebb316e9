// Package repo keeps everything in a database: it is the [rendezvous.Store] on sqlx.
//
// A transaction is a [rendezvous.Tx]; what a noun's methods do is in the file of
// its name, each SQL query in the one method that runs it. All of it is SQL that SQLite and
// PostgreSQL read alike; the little that they disagree about is a dialect.
//
// # Writing to SQLite
//
// SQLite has one writer, so one goroutine does all the writing, on one
// connection, and writers that arrive together share a commit and its fsync:
//
//	BEGIN IMMEDIATE
//	  …                   the first that waits; then all that have come meanwhile,
//	  SAVEPOINT member    at most 128 and for at most 10 ms
//	  …
//	  RELEASE member      or ROLLBACK TO: one that fails is undone alone
//	  UPDATE modified     once, if any of them changed something
//	COMMIT
//	                      and only now AfterCommit functions run and callers are answered
//
// A lone writer waits for nobody. When the database ended the transaction by
// itself (a full disk does that), or will not commit, nothing of the batch is kept and each
// member is run again in a transaction of its own, so that none suffers for another.
// A statement that failed has failed its member, whatever the function makes of it, as
// on PostgreSQL.
//
// # Writing to PostgreSQL
//
// Each Update is a transaction of its own, on one of several connections. What it loads to
// change is locked, in one order (postgres_locks.go); one that loses against another all the
// same is run again. What concerns many rows is one statement (postgres_batch.go). Only
// once a second a transaction writes that something was modified: all would wait for that row.
//
// Other processes on the database are told of news by a [Notifier]: after the commit,
// together with all that came within 2 ms, and never as more than a hint.
//
// # Reading
//
// A View has a connection of its own, which refuses to write, and sees one snapshot.
// It waits for no writer.
//
// # Trouble
//
// Statements run to their end: no caller's context reaches the database. Trouble with the
// storage is told by the database's result code, never by its text, and wraps
// [rendezvous.ErrUnavailable].
//
// If the file has been moved away from its path, nothing is
// written into what may be a file without a name; when it is back, work goes on. That
// is looked at again after each commit: a file that went away during one is the only case in which
// SQLite's answer is [rendezvous.ErrOutcomeUnknown], beside a disk that fails to sync.
// PostgreSQL may fall silent: who waits for its answer waits five seconds. A connection that is lost while it
// commits is another [rendezvous.ErrOutcomeUnknown]; one that has died since it was used last is replaced.
package repo
