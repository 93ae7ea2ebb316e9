package rendezvous

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Claimed is what a side gets for a nameplate.
type Claimed struct {
	Nameplate NameplateID `json:"nameplate"`
	Mailbox   MailboxID   `json:"mailbox"`
}

// Allocate claims one of the shortest free nameplates, and enters the side in the new mailbox behind
// it. ttl asks for a longer life of the mailbox; 0 asks for nothing. It refuses with QUOTA_EXCEEDED or
// OVERLOADED.
func (s *Service) Allocate(ctx context.Context, c Command, ttl time.Duration) (Answer[Claimed], error) {
	paying := &charge{address: c.Address}
	return execute(ctx, s, c, func(t *txn) (Claimed, error) { return t.allocate(t.actor.App, t.actor.Side, paying, ttl) })
}

// AllocateFor is [Service.Allocate] for a side without a session. If the side has a nameplate that
// waits for a partner, it gets that one again: the client lost the reply and came back.
func (s *Service) AllocateFor(ctx context.Context, ref SideRef) (Claimed, error) {
	paying := &charge{address: ref.Address}
	return executeAs(ctx, s, ref, func(t *txn) (Claimed, error) {
		held, err := t.NameplatesOf(ref.App, ref.Side)
		if err != nil {
			return Claimed{}, err
		}
		for _, n := range held {
			if n.Waiting() {
				return t.claim(ref.App, ref.Side, paying, n.ID, 0)
			}
		}
		return t.allocate(ref.App, ref.Side, paying, 0)
	})
}

// Claim claims a nameplate, making it if there is none, and enters the side in its mailbox. ttl is as
// in [Service.Allocate]. It refuses with RECLAIMED, CROWDED or QUOTA_EXCEEDED.
func (s *Service) Claim(ctx context.Context, c Command, id NameplateID, ttl time.Duration) (Answer[Claimed], error) {
	paying := &charge{address: c.Address}
	return execute(ctx, s, c, func(t *txn) (Claimed, error) { return t.claim(t.actor.App, t.actor.Side, paying, id, ttl) })
}

// ClaimFor is [Service.Claim] for a side without a session.
func (s *Service) ClaimFor(ctx context.Context, ref SideRef, id NameplateID) (Claimed, error) {
	paying := &charge{address: ref.Address}
	return executeAs(ctx, s, ref, func(t *txn) (Claimed, error) { return t.claim(ref.App, ref.Side, paying, id, 0) })
}

// Release releases a nameplate. It succeeds if there is none.
func (s *Service) Release(ctx context.Context, c Command, id NameplateID) (Answer[struct{}], error) {
	return execute(ctx, s, c, func(t *txn) (struct{}, error) { return struct{}{}, t.release(t.actor.App, t.actor.Side, id) })
}

// ReleaseFor is [Service.Release] for a side without a session.
func (s *Service) ReleaseFor(ctx context.Context, ref SideRef, id NameplateID) error {
	_, err := executeAs(ctx, s, ref, func(t *txn) (struct{}, error) { return struct{}{}, t.release(ref.App, ref.Side, id) })
	return err
}

// nameplateListSize is what one nameplate adds to the list, besides its digits: {"id":""} and a comma.
const nameplateListSize = 10

// List returns the nameplates of the session's app that wait for a partner, sorted, as many as fit in
// a list.
func (s *Service) List(ctx context.Context, q Query) (Answer[[]NameplateID], error) {
	return query(ctx, s, q, func(t *txn) ([]NameplateID, error) { return t.list(t.actor.App) })
}

// ListFor is [Service.List] for a side without a session.
func (s *Service) ListFor(ctx context.Context, ref SideRef) (waiting []NameplateID, err error) {
	err = s.read(ctx, func(t *txn) (err error) {
		waiting, err = t.list(ref.App)
		return err
	})
	return waiting, err
}

func (t *txn) list(app AppID) ([]NameplateID, error) {
	size := t.s.Config.Limits.ListBytes - 80 // for what surrounds the list, in any protocol
	waiting, err := t.WaitingNameplates(app, size/(nameplateListSize+1))
	for i, id := range waiting {
		if size -= len(id) + nameplateListSize; size < 0 {
			return waiting[:i], err
		}
	}
	return waiting, err
}

func (t *txn) allocate(app AppID, side Side, paying *charge, ttl time.Duration) (Claimed, error) {
	if err := t.checkTTL(ttl); err != nil {
		return Claimed{}, err
	}
	if err := t.pay(paying, app, side, 1); err != nil {
		return Claimed{}, err
	}
	id, err := t.freeNameplate(app, paying)
	if err != nil {
		return Claimed{}, err
	}
	return t.newNameplate(app, side, paying.address, id, ttl)
}

func (t *txn) claim(app AppID, side Side, paying *charge, id NameplateID, ttl time.Duration) (Claimed, error) {
	if err := t.checkTTL(ttl); err != nil {
		return Claimed{}, err
	}
	n, m, err := t.nameplate(app, id)
	if errors.Is(err, ErrNotFound) {
		return t.claimNew(app, side, paying, id, ttl)
	}
	if err != nil {
		return Claimed{}, err
	}
	claimed, why := n.Claim(side, paying.address, t.Now())
	if why != "" || len(claimed.Claims) > len(n.Claims) { // a side may ask for what it holds as often as it comes back
		if err := t.pay(paying, app, side, 1); err != nil {
			return Claimed{}, err
		}
	}
	if why == Reclaimed {
		return Claimed{}, refuse(Reclaimed, "this side has released nameplate %s and cannot claim it again", id)
	}
	inside := m.Has(side)
	m, admitted := m.Enter(side, t.Now())
	if why == Crowded || !admitted {
		return Claimed{}, t.recordCrowded(n, m) // n as it was: a side that is not admitted gets no claim
	}
	if len(claimed.Claims) > len(n.Claims) {
		if err := t.checkNameplateQuota(app, side, paying.address); err != nil {
			return Claimed{}, err
		}
	}
	if !inside {
		if err := t.checkMailboxQuota(app, side); err != nil {
			return Claimed{}, err
		}
	}
	if inside && len(claimed.Claims) == len(n.Claims) && ttl <= m.TTL && m.StaleAt.Equal(n.StaleAt) {
		return Claimed{id, m.ID}, nil // the side has what it asks for
	}
	m = m.Extend(ttl)
	claimed.StaleAt = m.StaleAt
	if err := t.UpdateMailbox(m); err != nil {
		return Claimed{}, err
	}
	return Claimed{id, m.ID}, t.UpdateNameplate(claimed)
}

// recordCrowded refuses a third side and records that there was one. It does not extend any life.
func (t *txn) recordCrowded(n Nameplate, m Mailbox) error {
	m, tell := m.TellCrowded(t.Now())
	if n.Crowded && m.Crowded && !tell {
		return crowded()
	}
	n.Crowded, m.Crowded = true, true
	if err := t.UpdateMailbox(m); err != nil {
		return err
	}
	if err := t.UpdateNameplate(n); err != nil {
		return err
	}
	if tell {
		if err := t.publishCrowded(m); err != nil {
			return err
		}
	}
	t.AfterCommit(func() { t.s.logs.Invalidate(m.Key) })
	t.wake(Topic{Mailbox: m.Key}) // the sides that are there may want to know
	return crowded()
}

func crowded() *Failure { return refuse(Crowded, "two other sides share this nameplate already") }

// nameplate loads a nameplate with its mailbox. A nameplate whose mailbox is missing leads nowhere, so
// it is retired. No transaction of this server leaves one behind.
func (t *txn) nameplate(app AppID, id NameplateID) (Nameplate, Mailbox, error) {
	n, err := t.Nameplate(app, id)
	if err != nil {
		return n, Mailbox{}, err
	}
	m, err := t.MailboxByKey(n.Mailbox)
	if errors.Is(err, ErrNotFound) {
		if err := t.retireNameplate(n, true); err != nil {
			return n, m, err
		}
	}
	return n, m, err
}

// claimNew claims a nameplate that there is none of. Unless it was one a moment ago, it may be a guess.
func (t *txn) claimNew(app AppID, side Side, paying *charge, id NameplateID, ttl time.Duration) (Claimed, error) {
	cost := float64(guessCost)
	if number, is := id.Number(); is {
		rested, err := t.TakenOf(app, []int{number})
		if err != nil {
			return Claimed{}, err
		}
		if len(rested) > 0 {
			cost = 1
		}
	}
	if err := t.pay(paying, app, side, cost); err != nil {
		return Claimed{}, err
	}
	return t.newNameplate(app, side, paying.address, id, ttl)
}

func (t *txn) newNameplate(app AppID, side Side, address string, id NameplateID, ttl time.Duration) (Claimed, error) {
	if err := t.checkNameplateQuota(app, side, address); err != nil {
		return Claimed{}, err
	}
	if err := t.checkMailboxQuota(app, side); err != nil {
		return Claimed{}, err
	}
	m := NewMailbox(app, newMailboxID(t.Now()), t.s.Config.MailboxTTL, t.Now()).Extend(ttl)
	m.ForNameplate = true
	m, _ = m.Enter(side, t.Now())
	m, err := t.createMailbox(m)
	if err != nil {
		return Claimed{}, err
	}
	n := Nameplate{App: app, ID: id, Mailbox: m.Key, Created: t.Now(), StaleAt: m.StaleAt}
	n, _ = n.Claim(side, address, t.Now())
	return Claimed{id, m.ID}, t.CreateNameplate(n)
}

func (t *txn) release(app AppID, side Side, id NameplateID) error {
	n, err := t.Nameplate(app, id)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	n = n.Release(side, t.Now())
	if !n.Claimed() {
		return t.retireNameplate(n, false)
	}
	return t.UpdateNameplate(n)
}

func (t *txn) retireNameplate(n Nameplate, pruned bool) error {
	if number, is := n.ID.Number(); is && t.s.Config.NameplateRest > 0 {
		if err := t.RestNumber(n.App, number, t.Now().Add(t.s.Config.NameplateRest)); err != nil {
			return err
		}
	} else {
		t.AfterCommit(func() { t.s.freeRanges.markFree(n.App, n.ID) })
	}
	usage := SummarizeNameplate(n, t.Now(), pruned).Blurred(t.s.Config.Blur)
	t.observeRetired(n.App, KindNameplate, usage.Result)
	return t.RetireNameplate(n, usage)
}

func (t *txn) checkNameplateQuota(app AppID, side Side, address string) error {
	limits := t.s.Config.Limits
	held, err := t.CountNameplatesOf(app, side)
	if err != nil {
		return err
	}
	if held >= limits.Nameplates {
		return refuseFor(LimitNameplates, QuotaExceeded, "a side may hold %d nameplates; release one first", limits.Nameplates)
	}
	full, err := overAddressLimit(address, limits.AddressNameplates, t.s.claimQuota.seldom(t.s.local(), t.CountClaimsFrom))
	if err == nil && full {
		return refuseFor(LimitAddressNameplates, QuotaExceeded, "%d nameplates may be held from an address; release one first", limits.AddressNameplates)
	}
	return err
}

// blindDraws are how many numbers are drawn, first and then, before all that are taken are listed. Mostly few are taken, and
// each number that is looked up is another page of the index.
var blindDraws = [...]int{3, 32}

// fewNumbers is in how small a range the taken ones are listed at once.
const fewNumbers = 32

// freeNameplate finds one of the shortest free nameplates that the address may have, each with the same probability.
func (t *txn) freeNameplate(app AppID, paying *charge) (NameplateID, error) {
	first := t.s.freeRanges.first(app, t.Now())
	passed := false // a range that may have free numbers
	if first == 0 {
		short, err := t.mayAllocateShort(paying)
		if err != nil {
			return "", err
		}
		if !short {
			first, passed = 1, true
		}
	}
	for i := first; i < len(NumberRanges); i++ {
		number, err := t.freeNumber(app, NumberRanges[i].Low, NumberRanges[i].High)
		if errors.Is(err, ErrNoFreeNameplate) {
			if !passed {
				t.s.freeRanges.markFull(app, i, t.Now())
			}
			continue
		}
		id := NameplateID(strconv.Itoa(number))
		t.AfterCommit(func() { t.s.stats.CodeDigits.Store(int64(len(id))) })
		return id, err
	}
	return "", refuse(Overloaded, "%v: all of them are taken; try again later, or claim a longer one", ErrNoFreeNameplate)
}

// freeNumber draws one of the free numbers low…high, or returns [ErrNoFreeNameplate]. It first draws
// without looking at what is taken, which succeeds unless nearly all numbers are.
func (t *txn) freeNumber(app AppID, low, high int) (int, error) {
	for _, draws := range blindDraws {
		if high-low < fewNumbers {
			break
		}
		numbers := make([]int, draws)
		for i := range numbers {
			numbers[i] = low + randomInt(high-low+1)
		}
		taken, err := t.TakenOf(app, numbers)
		if err != nil {
			return 0, err
		}
		for _, number := range numbers {
			if !slices.Contains(taken, number) {
				return number, nil
			}
		}
	}
	taken, err := t.TakenNumbers(app, low, high)
	if err != nil {
		return 0, err
	}
	return PickFree(low, high, taken, randomInt)
}

// randomInt returns an unpredictable random number of 0…n−1.
func randomInt(n int) int {
	i, err := rand.Int(rand.Reader, big.NewInt(int64(n)))
	if err != nil {
		panic("unreachable: crypto/rand does not fail: " + err.Error())
	}
	return int(i.Int64())
}

// newMailboxID returns a mailbox id of 128 random bits. The second in which it is made comes before them, so that ids
// which are in use at the same time are next to each other in the database's index.
func newMailboxID(now time.Time) MailboxID {
	b := make([]byte, 4+16)
	binary.BigEndian.PutUint32(b, uint32(now.Unix())) //nolint:gosec // in 2106 it begins anew
	_, _ = rand.Read(b[4:])                           // never fails: see crypto/rand
	return MailboxID(sortedBase32.EncodeToString(b))
}

// sortedBase32 encodes bytes to texts that sort as the bytes do. It needs no padding for 20 bytes.
var sortedBase32 = base32.NewEncoding("234567abcdefghijklmnopqrstuvwxyz")

// newSide returns a side of 40 random bits, as wormhole clients do.
func newSide() Side { return Side(randomText(5)) }

func randomText(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails: see crypto/rand
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(b))
}
