package presence

import (
	"encoding/binary"
	"sync"
	"testing"
	"time"

	"restante/session"
)

// A request that comes while all clients are looked at does not wait for the end of that.
func TestAWalkLetsOthersHaveTheLock(t *testing.T) {
	var p Table
	now := time.UnixMilli(1_000_000)
	const clients = 100 * walkPiece
	for i := range clients {
		var k session.Key
		binary.BigEndian.PutUint64(k[:], uint64(i))
		p.Touch(k, now, time.Hour)
	}
	for range 100 { // it may come too late for the end of one walk, but not of all
		var request sync.Once
		touched := make(chan struct{})
		looked, before := 0, false
		p.walk(func(session.Key, *client) {
			request.Do(func() {
				go func() {
					p.Touch(session.Key{1}, now, time.Hour)
					close(touched)
				}()
			})
			looked++
			select {
			case <-touched:
				before = true
			default:
			}
		})
		<-touched
		if looked < clients {
			t.Fatalf("%d clients of %d are looked at", looked, clients)
		}
		if before {
			return
		}
	}
	t.Error("no request was done before the end of a walk")
}
