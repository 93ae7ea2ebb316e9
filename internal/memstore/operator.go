package memstore

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"time"

	"restante/rendezvous"
)

// RecordClients stores which clients connected.
func (t *tx) RecordClients(clients []rendezvous.ClientVersion) error {
	if err := t.change(); err != nil {
		return err
	}
	t.changed = t.changed || len(clients) > 0
	t.clients = append(t.clients, clients...)
	return nil
}

// DeleteStatistics deletes old usage records that are counted, and client versions.
func (t *tx) DeleteStatistics(before time.Time, limit int) (deleted int, _ error) {
	if err := t.change(); err != nil {
		return 0, err
	}
	for _, kind := range []rendezvous.Kind{rendezvous.KindNameplate, rendezvous.KindMailbox} {
		records, n := without(t.records, limit, func(r record) bool { return r.kind == kind && r.counted && r.Started.Add(r.Total).Before(before) })
		t.records = records
		deleted += n
	}
	clients, n := without(t.clients, limit, func(c rendezvous.ClientVersion) bool { return c.Connected.Before(before) })
	t.clients = clients
	deleted += n
	t.changed = t.changed || deleted > 0
	return deleted, nil
}

// CountStatistics counts the records of a kind.
func (t *tx) CountStatistics(kind rendezvous.Kind, atMost int) (int, error) {
	count := len(t.clients)
	if kind != rendezvous.KindClient {
		count = 0
		for _, r := range t.records {
			if r.kind == kind {
				count++
			}
		}
	}
	return min(count, atMost), nil
}

// DeleteOldestStatistics deletes the records of a kind of what began first.
func (t *tx) DeleteOldestStatistics(kind rendezvous.Kind, limit int) (deleted int, _ error) {
	if err := t.change(); err != nil {
		return 0, err
	}
	if kind == rendezvous.KindClient {
		t.clients = slices.Clone(t.clients)
		slices.SortStableFunc(t.clients, func(a, b rendezvous.ClientVersion) int { return a.Connected.Compare(b.Connected) })
		t.clients, deleted = without(t.clients, limit, func(rendezvous.ClientVersion) bool { return true })
	} else {
		t.records = slices.Clone(t.records)
		slices.SortStableFunc(t.records, func(a, b record) int { return a.Started.Compare(b.Started) })
		t.records, deleted = without(t.records, limit, func(r record) bool { return r.kind == kind && r.counted })
	}
	t.changed = t.changed || deleted > 0
	return deleted, nil
}

// without returns a list without the first of its items that are old, at most so many. The list itself is not changed,
// and not copied if nothing in it is old.
func without[T any](list []T, limit int, old func(T) bool) (left []T, deleted int) {
	first := slices.IndexFunc(list, old)
	if first < 0 {
		return list, 0
	}
	left = slices.Clone(list[:first])
	for _, item := range list[first:] {
		if deleted < limit && old(item) {
			deleted++
			continue
		}
		left = append(left, item)
	}
	return left, deleted
}

// AddressKey returns the key for the addresses of a day.
func (t *tx) AddressKey(day int64, fresh []byte) ([]byte, error) {
	if err := t.change(); err != nil {
		return nil, err
	}
	if _, found := t.keys.get(day); !found {
		t.changed = true
		t.keys.put(t.id, &keyRow{made{t.id}, day, bytes.Clone(fresh)})
	}
	for _, r := range slices.Clone(t.keys.rows) {
		if r.day < day-1 {
			t.changed = t.keys.remove(t.id, r.day) || t.changed
		}
	}
	r, _ := t.keys.get(day)
	return r.secret, nil
}

// Counts counts what is stored.
func (t *tx) Counts() (c rendezvous.Counts, _ error) {
	c.Nameplates, c.Mailboxes = int64(len(t.nameplates.rows)), int64(len(t.mailboxes.rows))
	for _, m := range t.mailboxes.rows {
		c.Messages += int64(m.Last)
	}
	for _, s := range t.sessions.rows {
		if s.Ended == nil {
			c.Sessions++
		}
	}
	return c, nil
}

// StorageSize returns 1, because memory has no size that is worth telling.
func (t *tx) StorageSize() (rendezvous.StorageSize, error) {
	return rendezvous.StorageSize{Database: 1}, nil
}

// FreeSpace has nothing to give back.
func (t *tx) FreeSpace() (more bool, err error) { return false, nil }

// Updated returns the time of the last modification.
func (t *tx) Updated() (time.Time, error) { return t.updated, nil }

// LiveSessions lists the sessions that have not ended.
func (t *tx) LiveSessions(f rendezvous.SessionFilter) (list []rendezvous.Session, _ error) {
	for _, r := range t.sessions.rows {
		if r.Ended == nil && (f.App == "" || f.App == r.App) && (f.Address == "" || f.Address == r.Address) {
			list = append(list, r.value())
		}
	}
	slices.SortStableFunc(list, func(a, b rendezvous.Session) int { return b.Began.Compare(a.Began) })
	return list[:min(len(list), f.Limit)], nil
}

// UsageSince sums up usage records by day, app and result.
func (t *tx) UsageSince(since time.Time) ([]rendezvous.UsageGroup, error) {
	type times struct{ waiting, total []time.Duration }
	var groups []rendezvous.UsageGroup
	of := map[rendezvous.UsageGroup]*times{}
	for _, r := range t.records {
		if r.Started.Before(since) {
			continue
		}
		id := rendezvous.UsageGroup{Kind: r.kind, Day: r.Started.UTC().Truncate(24 * time.Hour), App: r.App, Result: r.Result}
		if of[id] == nil {
			of[id] = &times{}
			groups = append(groups, id)
		}
		of[id].total = append(of[id].total, r.Total)
		if r.Waiting != nil {
			of[id].waiting = append(of[id].waiting, *r.Waiting)
		}
	}
	slices.SortFunc(groups, func(a, b rendezvous.UsageGroup) int {
		return cmp.Or(-cmp.Compare(a.Kind, b.Kind), b.Day.Compare(a.Day), cmp.Compare(a.App, b.App), cmp.Compare(a.Result, b.Result))
	})
	for i, id := range groups {
		groups[i].Count = int64(len(of[id].total))
		groups[i].Waiting, groups[i].Total = quantiles(of[id].waiting), quantiles(of[id].total)
	}
	return groups, nil
}

func quantiles(of []time.Duration) (q rendezvous.Quantiles) {
	if len(of) == 0 {
		return q
	}
	slices.Sort(of)
	n := len(of)
	return rendezvous.Quantiles{Count: int64(n), Half: of[(n+1)/2-1], Most: of[(9*n+9)/10-1], NearlyAll: of[(99*n+99)/100-1]}
}

// VersionsSince counts clients by version.
func (t *tx) VersionsSince(since time.Time, limit int) (list []rendezvous.VersionCount, _ error) {
	for _, c := range t.clients {
		if c.Connected.Before(since) {
			continue
		}
		i := slices.IndexFunc(list, func(v rendezvous.VersionCount) bool {
			return v.App == c.App && v.Implementation == c.Implementation && v.Version == c.Version
		})
		if i < 0 {
			i = len(list)
			list = append(list, rendezvous.VersionCount{App: c.App, Implementation: c.Implementation, Version: c.Version})
		}
		list[i].Clients++
	}
	slices.SortFunc(list, func(a, b rendezvous.VersionCount) int {
		return cmp.Or(cmp.Compare(b.Clients, a.Clients), cmp.Compare(a.App, b.App), cmp.Compare(a.Implementation, b.Implementation), cmp.Compare(a.Version, b.Version))
	})
	return list[:min(len(list), limit)], nil
}

// UsageTotals returns how many things ended.
func (t *tx) UsageTotals() (rendezvous.UsageTotals, error) {
	list := t.totals.List()
	for _, r := range t.records {
		if !r.counted {
			list = append(list, rendezvous.UsageTotal{Kind: r.kind, Result: r.Result, Count: 1})
		}
	}
	return rendezvous.SumTotals(list), nil
}

// UsageEndedSince returns how many things ended since a time.
func (t *tx) UsageEndedSince(since time.Time) (rendezvous.UsageTotals, error) {
	var list []rendezvous.UsageTotal
	for _, r := range t.records {
		if !r.Started.Add(r.Total).Before(since) {
			list = append(list, rendezvous.UsageTotal{Kind: r.kind, Result: r.Result, Count: 1})
		}
	}
	return rendezvous.SumTotals(list), nil
}

// CountUsage adds usage records to the totals.
func (t *tx) CountUsage(limit int) (counted int, _ error) {
	if err := t.change(); err != nil {
		return 0, err
	}
	left := map[rendezvous.Kind]int{rendezvous.KindNameplate: limit, rendezvous.KindMailbox: limit}
	records := t.records
	for i, r := range t.records {
		if r.counted || left[r.kind] == 0 {
			continue
		}
		if counted == 0 {
			records = slices.Clone(t.records)
		}
		left[r.kind]--
		counted++
		records[i].counted = true
		t.count(rendezvous.UsageTotal{Kind: r.kind, Result: r.Result})
	}
	t.records = records
	t.changed = t.changed || counted > 0
	return counted, nil
}

// Flaws finds none: nothing but this package can spoil what it holds.
func (t *tx) Flaws(rendezvous.FlawKind, rendezvous.UsageKeeping, int) ([]rendezvous.Flaw, error) {
	return nil, nil
}

// MendRows has nothing to mend.
func (t *tx) MendRows(f rendezvous.Flaw) error { return fmt.Errorf("%s has no rows to mend", f.Kind) }

// RecordServer stores a server, and forgets old ones.
func (t *tx) RecordServer(s rendezvous.Server, forget time.Time) error {
	if err := t.change(); err != nil {
		return err
	}
	t.changed = true
	if had, found := t.servers.get(s.ID); found {
		s.Version, s.Started = had.Version, had.Started
	}
	t.servers.put(t.id, &serverRow{made{t.id}, s})
	for _, r := range slices.Clone(t.servers.rows) {
		if r.Seen.Before(forget) {
			t.servers.remove(t.id, r.ID)
		}
	}
	return nil
}

// Servers lists the servers, the one that was seen last first.
func (t *tx) Servers(limit int) (list []rendezvous.Server, _ error) {
	for _, r := range t.servers.rows {
		list = append(list, r.Server)
	}
	slices.SortStableFunc(list, func(a, b rendezvous.Server) int { return b.Seen.Compare(a.Seen) })
	return list[:min(len(list), limit)], nil
}
