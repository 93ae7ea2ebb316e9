// Package repo stores everything in a database: it is the [rendezvous.Store] on sqlx.
//
// A transaction is a [rendezvous.Tx]. The methods about a noun are in the file named after it, and a SQL query is in the
// method that runs it. SQLite and PostgreSQL share most of this SQL: operations on many rows have a version for PostgreSQL
// (postgres_batch.go), and replies in messages are for SQLite alone. Other differences between the engines are in a dialect.
//
// # Writing to SQLite
//
// SQLite allows one writer at a time. So one goroutine does all the writing, on one
// connection, and updates that arrive together share a commit and its fsync:
//
//	BEGIN IMMEDIATE
//	  …                   the first update in the queue, then all that are queued behind
//	  SAVEPOINT member    it: at most 128, for at most 10 ms
//	  …
//	  RELEASE member      or ROLLBACK TO: a failed update is undone alone
//	  UPDATE modified     once a second, if any update changed something
//	COMMIT
//	                      only now AfterCommit functions run and callers get their results
//
// Savepoints are left out at first. Only if an update fails after it has changed something, the batch runs again with them.
//
// A lone update waits for no other. If the database ends the transaction by itself (as it
// does when the disk is full), or does not commit, nothing of the batch is kept, and each
// update runs again in a transaction of its own, so that each can only fail by itself.
// A statement that fails also fails its update, even if the update's function ignores the
// error. PostgreSQL behaves the same way.
//
// The writer remembers the sessions, mailboxes and subscribers that it has read or written last (remembered.go), and does
// not read them again.
//
// # Writing to PostgreSQL
//
// Each Update is a transaction of its own, on one of several connections. It locks the rows
// that it loads in order to change them, in one fixed order (postgres_locks.go). A transaction
// that still loses against another runs again. An operation on many rows is one statement
// (postgres_batch.go). Statements that nothing waits for go to the database together with the next one that something
// waits for, and with COMMIT (postgres_pipeline.go). The time of the last modification is written only once a second,
// because every transaction would have to wait for that one row.
//
// A [Notifier] tells the other processes on the database about changes: after the commit,
// in one message for all changes of 2 ms, and never as more than a hint.
//
// # Reading
//
// A View has a connection of its own, which refuses to write, and sees one snapshot.
// It waits for no writer.
//
// # Failures
//
// A statement runs to its end: no caller's context reaches the database. The storage's errors
// are recognised by the database's result code, never by its text, and wrap
// [rendezvous.ErrUnavailable].
//
// While another program has locked the SQLite file, updates wait, up to 30 s, and views go on. An update
// that waited in vain also returns [rendezvous.ErrBusy]. While the disk is full, updates return
// [rendezvous.ErrUnwritable], too, and views go on.
//
// Nothing is written while the SQLite file is not at its path, because the data would go into
// a file without a name. Work goes on when the file is back. The check is repeated after each
// commit. A file that was moved during a commit is one of two cases in which SQLite returns
// [rendezvous.ErrOutcomeUnknown]; a disk that fails to sync is the other.
//
// A PostgreSQL server may stop answering: a message waits for it for five seconds. A connection
// that is lost while the message with COMMIT is under way returns [rendezvous.ErrOutcomeUnknown], too. A
// connection that died since its last transaction is replaced.
package repo
