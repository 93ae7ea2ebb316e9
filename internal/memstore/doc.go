// Package memstore keeps everything in memory: it is a [rendezvous.Store] for simulations, which run millions of
// transactions. It passes the suite of the real stores (repo/repotest), so that it behaves as they do.
//
// A transaction works on a copy. What is stored is a [state] whose tables and rows are never changed once they are
// committed: the first change of a table copies its list of rows, and the first change of a row copies the row. So a
// snapshot costs nothing, a rollback is to forget, and a commit is to store one pointer.
//
// It has one writer at a time, as SQLite. It keeps nothing when the process ends. It looks for no flaws
// ([rendezvous.OperatorTx.Flaws] finds none), because nothing but this package can spoil what it holds.
package memstore
