package operator_test

import (
	"strings"
	"testing"

	"restante/api"
	"restante/internal/operator"
)

// TestStatusForPeople holds what an operator sees at first sight: the failures of pruning with their error, app and next
// try, times as ages, and the other servers.
func TestStatusForPeople(t *testing.T) {
	const now = 10_000_000
	status := api.Status{
		Service: api.StatusServiceRestante, Version: "1.0.0", Ready: true, Storage: api.StatusStorageOk, ServerTime: now,
		Started: now - 3*3_600_000, Updated: now - 3_400, CountsAt: now, ClockSkewMs: -12_000,
		StorageBytes: api.StorageBytes{Database: 3 << 20}, Clients: api.ClientCounts{Polls: 2, Wormhole: 1},
		Ended:         api.Ended{Here: api.EndedCounts{Mailboxes: api.ResultCounts{Happy: 4, Scary: 1}}},
		RecordedAgeMs: 4_000,
		Prune: api.Prune{
			LastGoodAt: new(int64(now - 7_260_000)), NextAt: new(int64(now + 61_000)), RunsTotal: 9, GoodRunsTotal: 7,
			Failures: []api.PruneFailure{
				{Kind: api.PruneFailureKindMailbox, Key: "3", App: new("example.org/\x1b[31mtea"), Error: api.PruneFailureErrorFault, Detail: new("a row is bad"), Attempts: 2, LastAt: now - 5_000, NextTryAt: now + 150_000},
				{Kind: api.PruneFailureKindList, Key: "nameplate", Error: api.PruneFailureErrorTimeout, Attempts: 1, LastAt: now, NextTryAt: now - 1},
			},
		},
		Servers: &[]api.ServerSeen{{ID: "ABCDEFGHIJ", Version: "0.9.0", StartedAt: now - 86_400_000, SeenAt: now - 90_000, ClockSkewMs: 250}},
	}
	var out strings.Builder
	operator.WriteStatus(&out, status)
	got := strings.Join(strings.Fields(out.String()), " ")
	for _, want := range []string{
		"restante 1.0.0: ready, but 2 things cannot be pruned", "started 3 h ago", "last modification 3 s ago", "3.0 MiB", "clients 2 polls, 1 wormhole",
		"4 happy, 1 scary since the start; none in all", "last good run 2 h ago, next in 1 min", "7 of 9 runs", "signs of life stored 4 s ago", "12 s ahead of the storage's",
		"mailbox 3 example.org/�[31mtea fault: a row is bad 2 5 s ago in 2 min", "list nameplate timeout 1 now now",
		"ABCDEFGH 0.9.0 24 h ago 1 min ago not yet 250 ms behind the storage's",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in\n%s", want, out.String())
		}
	}
}

func TestUsageForPeople(t *testing.T) {
	var out strings.Builder
	operator.WriteUsage(&out, api.UsageReport{
		Groups: []api.UsageGroup{
			{Kind: api.UsageGroupKindMailbox, Day: "2026-11-20", AppID: "a", Result: api.UsageGroupResultHappy, Count: 12, Waiting: &api.Quantiles{Count: 12, P50Ms: 4100, P90Ms: 31_000, P99Ms: 64_000}, Total: api.Quantiles{Count: 12, P50Ms: 61_000, P90Ms: 240_000, P99Ms: 7_300_000}},
			{Kind: api.UsageGroupKindNameplate, Day: "2026-11-19", AppID: "b", Result: api.UsageGroupResultLonely, Count: 1, Total: api.Quantiles{Count: 1, P50Ms: 7, P90Ms: 7, P99Ms: 7}},
		},
		Versions: []api.VersionCount{{AppID: "a", Implementation: "tea", Version: "1.2", Clients: 31}, {AppID: "b", Clients: 2}},
	})
	got := strings.Join(strings.Fields(out.String()), " ")
	for _, want := range []string{"since 1970-01-01 00:00:00 UTC", "2026-11-20 mailbox a happy 12 4 s 31 s 1 min 1 min 4 min 2 h", "2026-11-19 nameplate b lonely 1 7 ms 7 ms 7 ms", "a tea 1.2 31", "b (did not say) 2"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in\n%s", want, out.String())
		}
	}
	out.Reset()
	operator.WriteUsage(&out, api.UsageReport{})
	if !strings.Contains(out.String(), "nothing") || !strings.Contains(out.String(), "none") {
		t.Errorf("of nothing: %s", out.String())
	}
}
