package rendezvous_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"restante/rendezvous"
)

// usage returns the record of something that started at one second, and whose second side came waiting
// seconds later: none if negative.
func usage(result rendezvous.Result, started, waiting, total int64) rendezvous.Usage {
	u := rendezvous.Usage{App: "app", Started: second(started), Total: time.Duration(total) * time.Second, Result: result}
	if waiting >= 0 {
		u.Waiting = new(time.Duration(waiting) * time.Second)
	}
	return u
}

func TestSummarizeNameplate(t *testing.T) {
	for name, r := range map[string]struct {
		n      rendezvous.Nameplate
		now    int64
		pruned bool
		want   rendezvous.Usage
	}{
		"two sides are happy":              {plate(released("a", 1, 6), released("b", 3, 10)), 10, false, usage("happy", 1, 2, 9)},
		"one side is lonely":               {plate(released("a", 1, 6)), 6, false, usage("lonely", 1, -1, 5)},
		"one side, pruned, is pruney":      {plate(claimed("a", 1)), 10, true, usage("pruney", 1, -1, 9)},
		"two sides, pruned, are pruney":    {plate(claimed("a", 1), claimed("b", 3)), 10, true, usage("pruney", 1, 2, 9)},
		"a third side makes it crowded":    {crowdedPlate(released("a", 1, 4), released("b", 2, 5)), 6, false, usage("crowded", 1, 1, 5)},
		"crowded wins over pruned":         {crowdedPlate(claimed("a", 1), claimed("b", 2)), 10, true, usage("crowded", 1, 1, 9)},
		"no side is quiet":                 {plate(), 10, false, usage("quiet", 0, -1, 10)},
		"no side is quiet also if pruned":  {plate(), 10, true, usage("quiet", 0, -1, 10)},
		"no side is quiet also if crowded": {crowdedPlate(), 10, true, usage("quiet", 0, -1, 10)},
		"two sides at once waited nothing": {plate(released("a", 1, 6), released("b", 1, 6)), 6, false, usage("happy", 1, 0, 5)},
		"the order of claims is nothing":   {plate(released("b", 3, 10), released("a", 1, 6)), 10, false, usage("happy", 1, 2, 9)},
		"it is all over at once":           {plate(released("a", 1, 1)), 1, false, usage("lonely", 1, -1, 0)},
	} {
		t.Run(name, func(t *testing.T) {
			before := copyPlate(r.n)
			if diff := cmp.Diff(r.want, rendezvous.SummarizeNameplate(r.n, second(r.now), r.pruned)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			if diff := cmp.Diff(before, r.n); diff != "" {
				t.Errorf("the nameplate changed (-before +after)\n%s", diff)
			}
		})
	}
}

func TestSummarizeMailbox(t *testing.T) {
	// a came at second 1 and left at 5 in this mood, b came at 4 and left at 6.
	a := func(mood rendezvous.Mood) rendezvous.Opening { return closed(opened("a", 1, 2), 5, mood) }
	b := func(mood rendezvous.Mood) rendezvous.Opening { return closed(opened("b", 4, 4), 6, mood) }
	alone, met := usage("lonely", 1, -1, 5), usage("happy", 1, 3, 5)
	as := func(u rendezvous.Usage, result rendezvous.Result) rendezvous.Usage {
		u.Result = result
		return u
	}
	for name, r := range map[string]struct {
		m      rendezvous.Mailbox // ends at second 6
		pruned bool
		want   rendezvous.Usage
	}{
		"two happy sides are happy":                       {box(6, a("happy"), b("happy")), false, met},
		"one side is lonely, however happy":               {box(6, a("happy")), false, alone},
		"one lonely side is lonely":                       {box(6, a("lonely")), false, alone},
		"one scary side is scary":                         {box(6, a("scary")), false, as(alone, "scary")},
		"one errory side is errory":                       {box(6, a("errory")), false, as(alone, "errory")},
		"a side that never closed has no mood":            {box(6, a("happy"), entered("b", 4)), false, met},
		"of two sides the first says it was lonely":       {box(6, a("lonely"), b("happy")), false, as(met, "lonely")},
		"of two sides the second says it was lonely":      {box(6, a("happy"), b("lonely")), false, as(met, "lonely")},
		"of two sides the first saw a wrong code":         {box(6, a("scary"), b("happy")), false, as(met, "scary")},
		"of two sides the second saw a wrong code":        {box(6, a("happy"), b("scary")), false, as(met, "scary")},
		"of two sides the first saw an error":             {box(6, a("errory"), b("happy")), false, as(met, "errory")},
		"of two sides the second saw an error":            {box(6, a("happy"), b("errory")), false, as(met, "errory")},
		"errory wins over lonely":                         {box(6, a("lonely"), b("errory")), false, as(met, "errory")},
		"errory wins over lonely, the other way round":    {box(6, a("errory"), b("lonely")), false, as(met, "errory")},
		"scary wins over errory":                          {box(6, a("errory"), b("scary")), false, as(met, "scary")},
		"scary wins over errory, the other way round":     {box(6, a("scary"), b("errory")), false, as(met, "scary")},
		"scary wins over lonely":                          {box(6, a("lonely"), b("scary")), false, as(met, "scary")},
		"pruned with one side is pruney":                  {box(6, entered("a", 1)), true, as(alone, "pruney")},
		"pruned with two sides is pruney":                 {box(6, opened("a", 1, 2), opened("b", 4, 4)), true, as(met, "pruney")},
		"pruney wins over moods":                          {box(6, a("scary"), opened("b", 4, 4)), true, as(met, "pruney")},
		"a third side makes it crowded":                   {crowdedBox(6, a("happy"), b("happy")), false, as(met, "crowded")},
		"crowded wins over moods":                         {crowdedBox(6, a("scary"), b("errory")), false, as(met, "crowded")},
		"crowded wins over pruney":                        {crowdedBox(6, a("scary"), opened("b", 4, 4)), true, as(met, "crowded")},
		"no side is quiet":                                {box(6), false, usage("quiet", 0, -1, 6)},
		"no side is quiet also if pruned":                 {box(6), true, usage("quiet", 0, -1, 6)},
		"no side is quiet also if crowded":                {crowdedBox(6), true, usage("quiet", 0, -1, 6)},
		"the order of sides is nothing":                   {box(6, b("happy"), a("happy")), false, met},
		"a side that came back began when it first came":  {box(6, opened("a", 1, 5), b("happy")), false, met},
		"sides count from entering, and not from opening": {box(6, closed(opened("a", 1, 5), 5, "happy"), closed(opened("b", 4, 6), 6, "happy")), false, met},
	} {
		t.Run(name, func(t *testing.T) {
			before := copyBox(r.m)
			if diff := cmp.Diff(r.want, rendezvous.SummarizeMailbox(r.m, second(6), r.pruned)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			if diff := cmp.Diff(before, r.m); diff != "" {
				t.Errorf("the mailbox changed (-before +after)\n%s", diff)
			}
		})
	}
	t.Run("times are exact to the millisecond", func(t *testing.T) {
		m := box(6, entered("a", 1), entered("b", 4))
		m.Sides[1].Entered = m.Sides[1].Entered.Add(7 * time.Millisecond)
		u := rendezvous.SummarizeMailbox(m, second(6).Add(-time.Millisecond), false)
		if *u.Waiting != 3007*time.Millisecond || u.Total != 4999*time.Millisecond {
			t.Errorf("waited %v of %v", *u.Waiting, u.Total)
		}
	})
}

func TestUsageBlurred(t *testing.T) {
	for name, r := range map[string]struct {
		started time.Time
		by      time.Duration
		want    time.Time
	}{
		"451 by a minute is 420":            {second(451), time.Minute, second(420)},
		"451 by a hundred seconds is 400":   {second(451), 100 * time.Second, second(400)},
		"21 by twenty is 20":                {second(21), 20 * time.Second, second(20)},
		"a multiple stays":                  {second(480), time.Minute, second(480)},
		"just before a multiple goes down":  {second(480).Add(-time.Millisecond), time.Minute, second(420)},
		"less than the blur is the epoch":   {second(59), time.Minute, second(0)},
		"today by an hour is the full hour": {time.Date(2026, 9, 1, 13, 59, 59, 999_000_000, time.UTC), time.Hour, time.Date(2026, 9, 1, 13, 0, 0, 0, time.UTC)},
		"by a millisecond it stays":         {second(451).Add(7 * time.Millisecond), time.Millisecond, second(451).Add(7 * time.Millisecond)},
		"by less than is stored it stays":   {second(451), time.Microsecond, second(451)},
		"by nothing it stays":               {second(451), 0, second(451)},
		"by less than nothing it stays":     {second(451), -time.Minute, second(451)},
	} {
		t.Run(name, func(t *testing.T) {
			u := usage("happy", 0, 2, 9)
			u.Started = r.started
			want := u
			want.Started = r.want
			if diff := cmp.Diff(want, u.Blurred(r.by)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}
