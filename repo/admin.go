package repo

import (
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

// usageRow is a value at a rank in a group of usage records.
type usageRow struct {
	Day    int64
	App    rendezvous.AppID
	Result rendezvous.Result
	Rank   int64
	Count  int64
	Value  span
}

// The parts of a query for the values of a column of usage records at the ranks of the quantiles, by day, app and result.
const (
	rankValue = `
		SELECT day, app, result, rank, count, value
		FROM (
			SELECT started / 86400000 AS day, app, result, `
	rankBy = ` AS value,
			       ROW_NUMBER() OVER (PARTITION BY started / 86400000, app, result ORDER BY `
	rankFrom = `) AS rank,
			       COUNT(*) OVER (PARTITION BY started / 86400000, app, result) AS count
			FROM `
	rankWhere = `
			WHERE started >= ? AND `
	rankEnd = ` IS NOT NULL
		) AS records
		WHERE rank IN ((count + 1) / 2, (9 * count + 9) / 10, (99 * count + 99) / 100)
		ORDER BY day DESC, app, result, rank`
)

// usageQueries are for the total and the waiting times of what is retired, in this order.
var usageQueries = []struct {
	of             rendezvous.Kind
	total, waiting string
}{
	{
		rendezvous.KindNameplate,
		rankValue + `total` + rankBy + `total` + rankFrom + `usage_nameplates` + rankWhere + `total` + rankEnd,
		rankValue + `waiting` + rankBy + `waiting` + rankFrom + `usage_nameplates` + rankWhere + `waiting` + rankEnd,
	},
	{
		rendezvous.KindMailbox,
		rankValue + `total` + rankBy + `total` + rankFrom + `usage_mailboxes` + rankWhere + `total` + rankEnd,
		rankValue + `waiting` + rankBy + `waiting` + rankFrom + `usage_mailboxes` + rankWhere + `waiting` + rankEnd,
	},
}

// UsageSince returns how the nameplates and mailboxes ended that began at a time or later, by day, app and result.
func (t *tx) UsageSince(since time.Time) (_ []rendezvous.UsageGroup, err error) {
	defer annotate(&err, "summing up usage")
	var groups []rendezvous.UsageGroup
	for _, kind := range usageQueries {
		places := map[rendezvous.UsageGroup]int{} // by what identifies a group
		for _, query := range []string{kind.total, kind.waiting} {
			rows, err := queryAll[usageRow](t, query, toMillis(since))
			if err != nil {
				return nil, err
			}
			for _, r := range rows {
				id := rendezvous.UsageGroup{Kind: kind.of, Day: time.UnixMilli(r.Day * 86_400_000).UTC(), App: r.App, Result: r.Result}
				at, known := places[id]
				if !known {
					at = len(groups)
					places[id] = at
					groups = append(groups, id)
				}
				q := &groups[at].Total
				if query == kind.total {
					groups[at].Count = r.Count
				} else {
					q = &groups[at].Waiting
				}
				q.Count = r.Count
				value := r.Value.duration()
				if r.Rank == (r.Count+1)/2 {
					q.Half = value
				}
				if r.Rank == (9*r.Count+9)/10 {
					q.Most = value
				}
				q.NearlyAll = value // the highest rank comes last
			}
		}
	}
	return groups, nil
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
