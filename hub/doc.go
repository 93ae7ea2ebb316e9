// Package hub is where requests park and who holds which seat.
//
// A [Hub] wakes parked requests. It carries no data: a wake means only "look
// again". A reader therefore watches first, reads the store second and waits
// third, so that nothing committed in between goes unseen:
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
// A writer commits first and wakes second. Waking too often is slow, never
// wrong; a wake that is lost between processes costs a delay, never a message.
//
// Who has no goroutine to park has the watch ring a [Bell] instead, and looks when that is heard.
//
// [Seats] tell who receives: of all requests for one key the newest has the
// seat, and the one before it is told so.
//
// The package owns memory of this process only. It must not know what it wakes
// for: no messages, no sessions, no storage, no HTTP. It imports the standard
// library only.
package hub
