package repo

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"restante/rendezvous"
)

// LiveSessions returns the sessions that have not ended in storage, those that began last first.
func (t *tx) LiveSessions(f rendezvous.SessionFilter) (_ []rendezvous.Session, err error) {
	defer annotate(&err, "listing live sessions")
	rows, err := queryAll[sessionRow](t, selectSession+`
		WHERE s.ended IS NULL AND (CAST(? AS BIGINT) = 1 OR s.app = ?) AND (CAST(? AS BIGINT) = 1 OR s.address = ?)
		ORDER BY s.began DESC, s.key
		LIMIT ?`, flag(f.App == ""), f.App, flag(f.Address == ""), f.Address, f.Limit)
	list := make([]rendezvous.Session, len(rows))
	for i, r := range rows {
		list[i] = r.session()
	}
	return list, err
}

// usageRow is a usage record.
type usageRow struct {
	Day     int64
	App     rendezvous.AppID
	Result  rendezvous.Result
	Total   span
	Waiting *span
}

// usageQueries are for the records of what is retired.
var usageQueries = map[rendezvous.Kind]string{
	rendezvous.KindNameplate: `SELECT started / 86400000 AS day, app, result, total, waiting FROM usage_nameplates WHERE started >= ?`,
	rendezvous.KindMailbox:   `SELECT started / 86400000 AS day, app, result, total, waiting FROM usage_mailboxes WHERE started >= ?`,
}

// UsageSince returns how the nameplates and mailboxes ended that began at a time or later, by day, app and result. The
// records are ranked here: both engines take several times as long for it.
func (t *tx) UsageSince(since time.Time) (_ []rendezvous.UsageGroup, err error) {
	defer annotate(&err, "summing up usage")
	var groups []rendezvous.UsageGroup
	for _, kind := range []rendezvous.Kind{rendezvous.KindNameplate, rendezvous.KindMailbox} {
		type times struct{ total, waiting []time.Duration }
		of := map[rendezvous.UsageGroup]*times{} // by what identifies a group
		if err := queryEach(t, func(r usageRow) bool {
			id := rendezvous.UsageGroup{Kind: kind, Day: time.UnixMilli(r.Day * 86_400_000).UTC(), App: r.App, Result: r.Result}
			if of[id] == nil {
				of[id] = new(times)
			}
			of[id].total = append(of[id].total, r.Total.duration())
			if r.Waiting != nil {
				of[id].waiting = append(of[id].waiting, r.Waiting.duration())
			}
			return true
		}, usageQueries[kind], toMillis(since)); err != nil {
			return nil, err
		}
		for _, id := range slices.SortedFunc(maps.Keys(of), func(a, b rendezvous.UsageGroup) int {
			return cmp.Or(b.Day.Compare(a.Day), cmp.Compare(a.App, b.App), cmp.Compare(a.Result, b.Result))
		}) {
			found := of[id]
			id.Count = int64(len(found.total))
			id.Total, id.Waiting = quantiles(found.total), quantiles(found.waiting)
			groups = append(groups, id)
		}
	}
	return groups, nil
}

// quantiles returns the values at the nearest ranks. It sorts them.
func quantiles(values []time.Duration) (q rendezvous.Quantiles) {
	if len(values) == 0 {
		return q
	}
	slices.Sort(values)
	at := func(percent int) time.Duration { return values[(percent*len(values)+99)/100-1] }
	return rendezvous.Quantiles{Count: int64(len(values)), Half: at(50), Most: at(90), NearlyAll: at(99)}
}

// VersionsSince returns how many clients connected at a time or later, by app and version; the most frequent first.
func (t *tx) VersionsSince(since time.Time, limit int) (_ []rendezvous.VersionCount, err error) {
	defer annotate(&err, "counting client versions")
	return queryAll[rendezvous.VersionCount](t, `
		SELECT app, COALESCE(implementation, '') AS implementation, COALESCE(version, '') AS version, COUNT(*) AS clients
		FROM client_versions
		WHERE connected >= ?
		GROUP BY app, implementation, version
		ORDER BY clients DESC, app, implementation, version
		LIMIT ?`, toMillis(since), limit)
}
