package rendezvous

import (
	"context"
	"sync"
	"time"
)

const (
	// mailboxOverhead is about how many bytes a mailbox takes without messages: its row, its sides, its
	// nameplate, and their indexes.
	mailboxOverhead = 1 << 10
	// messageOverhead is about how many bytes a message takes besides its texts.
	messageOverhead = 128
	// chargeStep is in how large steps bytes are counted for addresses. A step costs one more write. Between two
	// steps, adding a message costs nothing.
	chargeStep = 8 << 10
	// keyedReplySize is what a reply under an idempotency key counts.
	keyedReplySize = 512
	// storedBytesInterval is how often the sums are read again where other processes change them, too.
	storedBytesInterval = 30 * time.Second
)

// AddressBytes is how many stored bytes count for an address.
type AddressBytes struct {
	Address string // "" if it is not known
	Bytes   int64
}

// size returns about how many bytes a message takes.
func (d Draft) size(from Side) int64 {
	n := messageOverhead + len(from) + len(d.Phase) + len(d.Body)
	if d.ID != nil {
		n += len(*d.ID)
	}
	return int64(n)
}

// Charged returns how many of the mailbox's bytes are counted for addresses: all, rounded up to a step.
func (m Mailbox) Charged() int64 { return (m.Stored + chargeStep - 1) / chargeStep * chargeStep }

// storedBytes knows how many bytes are stored, of each address and in all. The storage knows it, too: this saves
// summing them up for each message. Where other processes change the sums, they are read again and again.
type storedBytes struct {
	mu    sync.Mutex
	known bool
	of    map[string]int64 // by address, and by the network around it
	total int64
	disk  int64 // that the storage takes, at the last count; 0 if it cannot tell
}

// load replaces what is known by what the storage says.
func (b *storedBytes) load(sums []AddressBytes) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.known, b.of, b.total = true, map[string]int64{}, 0
	for _, s := range sums {
		b.addLocked(s)
	}
}

// add counts bytes in, or out if they are negative.
func (b *storedBytes) add(changes ...AddressBytes) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range changes {
		if b.known {
			b.addLocked(c)
		}
	}
}

func (b *storedBytes) addLocked(c AddressBytes) {
	b.total += c.Bytes
	for _, key := range []string{c.Address, NetworkID(c.Address)} {
		if key == "" {
			continue
		}
		if b.of[key] += c.Bytes; b.of[key] <= 0 {
			delete(b.of, key)
		}
	}
}

// forget has the sums read again before the next use.
func (b *storedBytes) forget() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.known = false
}

// isKnown reports whether the sums have been read.
func (b *storedBytes) isKnown() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.known
}

// setDisk records how much the storage takes.
func (b *storedBytes) setDisk(size int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.disk = size
}

// refuse refuses so many more bytes of an address, if they are too many for it, for the network around it, or in all.
func (b *storedBytes) refuse(more AddressBytes, l Limits) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if max(b.total, b.disk)+more.Bytes > l.StoredBytes {
		return refuseFor(LimitStoredBytes, Overloaded, "this server stores as much as it may; try again later")
	}
	for key, share := range map[string]int64{more.Address: 1, NetworkID(more.Address): networkShare} {
		if key != "" && b.of[key]+more.Bytes > l.AddressBytes*share {
			return refuseFor(LimitAddressBytes, QuotaExceeded, "%d bytes may be stored from an address; close mailboxes that are done, or wait until they expire", l.AddressBytes)
		}
	}
	return nil
}

// StoredBytes returns how many bytes of mailboxes, messages and recorded replies are counted at the moment. It is 0
// before the first is stored.
func (s *Service) StoredBytes() int64 {
	s.stored.mu.Lock()
	defer s.stored.mu.Unlock()
	return s.stored.total
}

// knowStored reads the sums, unless they are known.
func (t *txn) knowStored() error {
	if t.s.stored.isKnown() {
		return nil
	}
	sums, err := t.StoredBytes()
	if err == nil {
		t.AfterCommit(func() { t.s.stored.load(sums) }) // what this transaction changes is counted after that
		t.storedSums = &storedBytes{}
		t.storedSums.load(sums)
	}
	return err
}

// mayStore refuses bytes that are too many.
func (t *txn) mayStore(bytes int64) error {
	if err := t.knowStored(); err != nil {
		return err
	}
	sums := &t.s.stored
	if t.storedSums != nil {
		sums = t.storedSums
	}
	return sums.refuse(AddressBytes{t.address, t.charged + bytes}, t.s.Config.Limits)
}

// chargeMailbox counts what a mailbox takes more than before for the address that asks, or refuses it.
func (t *txn) chargeMailbox(before, m Mailbox) error {
	more := m.Charged() - before.Charged()
	if more <= 0 {
		return nil
	}
	if err := t.mayStore(more); err != nil {
		return err
	}
	t.addCharge(more)
	return t.CountBytes(m.Key, AddressBytes{t.address, more})
}

// addCharge counts bytes of this transaction, once it has committed.
func (t *txn) addCharge(bytes int64) {
	t.charged += bytes
	change := AddressBytes{t.address, bytes}
	t.AfterCommit(func() { t.s.stored.add(change) })
}

// releaseBytes counts nothing any more for a retired mailbox, unless its log is kept.
func (t *txn) releaseBytes(k MailboxKey) error {
	freed, err := t.ReleaseBytes(k)
	if err == nil {
		t.freed(freed)
	}
	return err
}

// freed counts bytes out, once the transaction has committed.
func (t *txn) freed(bytes []AddressBytes) {
	for i := range bytes {
		bytes[i].Bytes = -bytes[i].Bytes
	}
	t.AfterCommit(func() { t.s.stored.add(bytes...) })
}

// replaces counts out a reply in whose place this transaction records another one, which may take what that took.
func (t *txn) replaces(before AddressBytes) {
	if before.Address == t.address {
		t.charged -= before.Bytes
	}
	t.freed([]AddressBytes{before})
}

// storedLoop reads the sums at the start and, where other processes change them, again and again.
func (s *Service) storedLoop(ctx context.Context) {
	tick := time.NewTicker(storedBytesInterval)
	defer tick.Stop()
	s.logErrors("sum up what is stored", func() error { return s.loadStored(ctx) })
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if s.Announce != nil || !s.stored.isKnown() {
			s.logErrors("sum up what is stored", func() error { return s.loadStored(ctx) })
		}
	}
}

// loadStored reads the sums. Where this process alone changes them, they are exact from then on: it reads them in the
// order of the updates.
func (s *Service) loadStored(ctx context.Context) error {
	if s.Announce == nil {
		return s.transact(ctx, func(t *txn) error { return t.knowStored() })
	}
	var sums []AddressBytes
	err := s.read(ctx, func(t *txn) (err error) {
		sums, err = t.StoredBytes()
		return err
	})
	if err == nil {
		s.stored.load(sums)
	}
	return err
}
