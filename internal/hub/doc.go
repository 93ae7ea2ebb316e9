// Package hub is where requests wait and are woken.
//
// A [Hub] wakes waiting requests. It carries no data: a wake means only "look
// again". A reader therefore watches first, reads the store second and waits
// third, so that it misses nothing that is committed in between:
//
//	for {
//		watch := hub.Watch(key)
//		found, err := read(ctx)
//		if err != nil || len(found) > 0 {
//			watch.Stop()
//			return found, err
//		}
//		if err := watch.Wait(patience); err != nil { // patience bounds the waiting, ctx the reading
//			return nil, err
//		}
//	}
//
// A writer commits first and wakes second. Waking too often is slow but never
// wrong. A wake that is lost between processes costs a delay, never a message.
//
// A reader without a goroutine has the watch set an [Event], and looks when that event calls it.
//
// [Exclusive] decides which request receives: of all requests for one key the newest
// holds it, and the previous holder is told.
//
// The package owns memory of this process only. It must not know what it wakes
// for: no messages, no sessions, no storage, no HTTP. It imports the standard
// library only.
package hub
