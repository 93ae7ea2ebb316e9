package session_test

import (
	"crypto/sha256"
	"encoding/binary"
	"testing"
	"time"

	"pgregory.net/rapid"

	"restante/session"
)

// key is the key of the i-th of many clients.
func key(i int) session.Key {
	return sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(i)))
}

func TestSilence(t *testing.T) {
	if got := timing.Silence(); got != 50*time.Second {
		t.Errorf("%v, want 50 s", got)
	}
}

func TestHoldIsBetween90And100PercentOfTheInterval(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		// Whole hundredths of a second: what a tenth of is a whole millisecond.
		interval := time.Duration(rapid.IntRange(1, 10_000).Draw(t, "interval")) * 10 * time.Millisecond
		tm := session.Timing{HeartbeatInterval: interval}
		k := key(rapid.Int().Draw(t, "client"))
		e := session.Epoch(rapid.Int64Range(1, int64(maxSeq)).Draw(t, "epoch"))
		hold := tm.Hold(k, e)
		if hold < interval*9/10 || hold > interval {
			t.Fatalf("%v of %v", hold, interval)
		}
		if hold%time.Millisecond != 0 {
			t.Fatalf("%v cannot be announced in milliseconds", hold)
		}
		if again := tm.Hold(k, e); again != hold {
			t.Fatalf("%v, and then %v", hold, again)
		}
	})
}

// Thousands of polls that began together do not end together, and those of one
// client that ended together once do not again.
func TestHoldIsSpread(t *testing.T) {
	const clients = 10_000
	byKey, byEpoch := map[int64]int{}, map[int64]int{}
	same := 0
	for i := range clients {
		first := timing.Hold(key(i), 1)
		byKey[(first.Milliseconds()-22_500)/250]++
		byEpoch[(timing.Hold(key(0), session.Epoch(i+1)).Milliseconds()-22_500)/250]++
		if timing.Hold(key(i), 2) == first {
			same++
		}
	}
	// Ten slices of 250 ms, of which each should have a tenth.
	for name, slices := range map[string]map[int64]int{"over keys": byKey, "over one key's epochs": byEpoch} {
		for slice := range int64(10) {
			if n := slices[slice]; n < clients/10*8/10 || n > clients/10*12/10 {
				t.Errorf("spread %s: %d of %d are in slice %d", name, n, clients, slice)
			}
		}
	}
	if same > clients/100 {
		t.Errorf("%d of %d hold as long in the next epoch", same, clients)
	}
}

func TestHoldOfNoIntervalIsNone(t *testing.T) {
	if got := (session.Timing{}).Hold(key(1), 1); got != 0 {
		t.Errorf("%v, want 0", got)
	}
}
