package rendezvous

import "context"

type queuedKey struct{}

// OnQueued returns a context for one command. f is called as soon as the command's transaction has its place behind all
// those that were queued before: a command that begins after that finds it done. f is not called by a store that runs
// transactions in no order, such as PostgreSQL, nor if the command ends before it has a transaction. It may be called
// again, and must not block.
func OnQueued(ctx context.Context, f func()) context.Context {
	return context.WithValue(ctx, queuedKey{}, f)
}

// Queued tells that an update with this context has its place. Stores call it.
func Queued(ctx context.Context) {
	if f, ok := ctx.Value(queuedKey{}).(func()); ok {
		f()
	}
}
