package repo

import (
	"cmp"
	"slices"
	"time"

	"restante/rendezvous"
)

// UsageTotals returns how many nameplates and mailboxes ended, by result: those that were counted, and those that wait
// for it.
func (t *tx) UsageTotals() (_ rendezvous.UsageTotals, err error) {
	defer annotate(&err, "loading how many things ended")
	rows, err := queryAll[rendezvous.UsageTotal](t, `
		SELECT kind, result, count FROM usage_totals
		UNION ALL
		SELECT 'nameplate', result, COUNT(*) FROM usage_nameplates WHERE counted = 0 GROUP BY result
		UNION ALL
		SELECT 'mailbox', result, COUNT(*) FROM usage_mailboxes WHERE counted = 0 GROUP BY result`)
	return rendezvous.SumTotals(rows), err
}

// UsageEndedSince returns how many nameplates and mailboxes ended at a time or later.
func (t *tx) UsageEndedSince(since time.Time) (_ rendezvous.UsageTotals, err error) {
	defer annotate(&err, "counting what ended lately")
	rows, err := queryAll[rendezvous.UsageTotal](t, `
		SELECT 'nameplate' AS kind, result, COUNT(*) AS count FROM usage_nameplates WHERE started + total >= ? GROUP BY result
		UNION ALL
		SELECT 'mailbox', result, COUNT(*) FROM usage_mailboxes WHERE started + total >= ? GROUP BY result`,
		toMillis(since), toMillis(since))
	return rendezvous.SumTotals(rows), err
}

// usageCounts mark a batch of records as counted, and return their results.
var usageCounts = []struct {
	of    rendezvous.Kind
	query string
}{
	{rendezvous.KindNameplate, `
		UPDATE usage_nameplates SET counted = 1
		WHERE counted = 0 AND rowid IN (SELECT rowid FROM usage_nameplates WHERE counted = 0 ORDER BY started LIMIT ?)
		RETURNING result`},
	{rendezvous.KindMailbox, `
		UPDATE usage_mailboxes SET counted = 1
		WHERE counted = 0 AND rowid IN (SELECT rowid FROM usage_mailboxes WHERE counted = 0 ORDER BY started LIMIT ?)
		RETURNING result`},
}

// CountUsage adds at most limit usage records of each kind to the totals, once each.
func (t *tx) CountUsage(limit int) (counted int, err error) {
	defer annotate(&err, "counting usage records")
	if t.readOnly {
		return 0, errReadOnlyTx
	}
	totals := rendezvous.UsageTotals{}
	for _, of := range usageCounts {
		results, err := queryAll[rendezvous.Result](t, t.conn.dialect.byRow(of.query), limit)
		if err != nil {
			return 0, err
		}
		t.changed = t.changed || len(results) > 0
		for _, result := range results {
			totals[rendezvous.UsageTotal{Kind: of.of, Result: result}]++
		}
		counted += len(results)
	}
	rows := totals.List()
	slices.SortFunc(rows, func(a, b rendezvous.UsageTotal) int { // so that no two servers wait for each other
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Result, b.Result))
	})
	for _, row := range rows {
		if err := t.change(`
			INSERT INTO usage_totals (kind, result, count)
			VALUES (?, ?, ?)
			ON CONFLICT (kind, result) DO UPDATE SET count = usage_totals.count + excluded.count`,
			row.Kind, row.Result, row.Count); err != nil {
			return 0, err
		}
	}
	return counted, nil
}
