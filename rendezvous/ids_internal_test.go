package rendezvous

import (
	"testing"
	"time"
)

// Ids that are made one after the other are next to each other in an index, and still cannot be guessed from each other.
func TestMailboxIDsSortByTheirTime(t *testing.T) {
	t.Parallel()
	const random = 26 // characters: 128 bits, and the last two of the time
	before := MailboxID("")
	seen := map[MailboxID]bool{}
	for second := range int64(1000) {
		id := newMailboxID(time.Unix(1_800_000_000+second*second*977, 0))
		if id <= before {
			t.Fatalf("%s is made after %s", id, before)
		}
		if len(id) != 32 || seen[id[len(id)-random:]] {
			t.Fatalf("%s: it is not random", id)
		}
		before, seen[id[len(id)-random:]] = id, true
	}
	now := time.Now()
	if one, other := newMailboxID(now), newMailboxID(now); one[:6] != other[:6] || one[6:] == other[6:] {
		t.Errorf("of one second: %s and %s", one, other)
	}
}
