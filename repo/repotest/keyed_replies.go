package repotest

import (
	"errors"
	"time"

	"restante/rendezvous"
)

// keyedReplies are the tests of what is recorded under an idempotency key.
var keyedReplies = []testCase{
	{"a reply under an idempotency key", func(h *harness) {
		id, fingerprint := [32]byte{1, 31: 2}, [32]byte{3}
		h.update(func(tx rendezvous.Tx) {
			now := tx.Now()
			_, reserved, err := tx.ReserveReply(id, fingerprint, now.Add(time.Hour))
			h.must(err)
			wantEqual(h, "reserved", reserved, true)
			h.must(tx.RecordReply(id, []byte("{}"), rendezvous.AddressBytes{Address: "addr-a", Bytes: 9}))
		})
		h.update(func(tx rendezvous.Tx) {
			now := tx.Now()
			_, reserved, err := tx.ReserveReply(id, [32]byte{4}, now.Add(time.Hour))
			h.must(err)
			wantEqual(h, "reserved again", reserved, false)
			wantEqual(h, "reply", value(tx.KeyedReply(id)), rendezvous.Reply{Fingerprint: fingerprint, Outcome: []byte("{}")})
			wantEqual(h, "forgotten", len(value(tx.DeleteReplies(now, 9))), 0)
			wantEqual(h, "forgotten later", value(tx.DeleteReplies(now.Add(2*time.Hour), 9)), []rendezvous.AddressBytes{{Address: "addr-a", Bytes: 9}})
			_, err = tx.KeyedReply(id)
			wantEqual(h, "not found", errors.Is(err, rendezvous.ErrNotFound), true)
		})
	}},
}
