package rendezvous

import (
	"slices"
	"time"
)

// Result is how the life of a nameplate or a mailbox went, in the words of the reference server's
// usage database.
type Result string

// The results. [SummarizeMailbox] says when each is given.
const (
	ResultHappy   Result = "happy"   // two sides met
	ResultLonely  Result = "lonely"  // one side came, or one said so
	ResultScary   Result = "scary"   // a side saw a wrong code
	ResultErrory  Result = "errory"  // a side saw an error
	ResultPruney  Result = "pruney"  // it was left behind and pruned
	ResultCrowded Result = "crowded" // a third side was refused
	ResultQuiet   Result = "quiet"   // no side ever came
)

// Results are all of them.
var Results = []Result{ResultHappy, ResultLonely, ResultScary, ResultErrory, ResultPruney, ResultCrowded, ResultQuiet}

// Usage is what remains of a nameplate or a mailbox when it is retired.
type Usage struct {
	App     AppID
	Started time.Time
	// Waiting is how long the first side waited for the second; nil if none came.
	Waiting *time.Duration
	Total   time.Duration
	Result  Result
}

// ClientVersion is a client that connected, and its implementation and version. Both are empty if it
// did not say.
type ClientVersion struct {
	App            AppID
	Connected      time.Time
	Implementation string
	Version        string
}

// SummarizeNameplate returns the usage record of a nameplate that is retired now.
func SummarizeNameplate(n Nameplate, now time.Time, pruned bool) Usage {
	var since []time.Time
	for _, c := range n.Claims {
		since = append(since, c.Since)
	}
	u := summarize(n.App, n.Created, since, now)
	switch {
	case len(since) == 0:
	case n.Crowded:
		u.Result = ResultCrowded
	case pruned:
		u.Result = ResultPruney
	}
	return u
}

// SummarizeMailbox returns the usage record of a mailbox that is retired now. A mailbox without sides
// is quiet, whatever else is known of it. Otherwise the last of these that applies wins: lonely with
// one side and happy with two; a mood of lonely, errory or scary; pruney; crowded.
func SummarizeMailbox(m Mailbox, now time.Time, pruned bool) Usage {
	var since []time.Time
	var moods []Mood
	for _, o := range m.Sides {
		since = append(since, o.Entered)
		if o.Closed != nil {
			moods = append(moods, o.Closed.Mood)
		}
	}
	u := summarize(m.App, m.Created, since, now)
	switch {
	case len(since) == 0:
	case m.Crowded:
		u.Result = ResultCrowded
	case pruned:
		u.Result = ResultPruney
	case slices.Contains(moods, Scary):
		u.Result = ResultScary
	case slices.Contains(moods, Errory):
		u.Result = ResultErrory
	case slices.Contains(moods, Lonely):
		u.Result = ResultLonely
	}
	return u
}

// Blurred returns the record with its start rounded down to a multiple of by, which hides the exact
// time.
func (u Usage) Blurred(by time.Duration) Usage {
	if ms := by.Milliseconds(); ms > 0 {
		u.Started = time.UnixMilli(u.Started.UnixMilli() / ms * ms)
	}
	return u
}

// summarize derives the result from the number of sides: none is quiet, one is lonely, two are happy.
func summarize(app AppID, created time.Time, since []time.Time, now time.Time) Usage {
	u := Usage{App: app, Started: created, Result: ResultQuiet}
	if len(since) > 0 {
		slices.SortFunc(since, time.Time.Compare)
		u.Started, u.Result = since[0], ResultLonely
	}
	if len(since) > 1 {
		waiting := since[1].Sub(since[0])
		u.Waiting, u.Result = &waiting, ResultHappy
	}
	u.Total = now.Sub(u.Started)
	return u
}
