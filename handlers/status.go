package handlers

import (
	"cmp"
	"context"
	"time"

	"restante/api"
	"restante/rendezvous"
)

// GetLiveness is GET /livez.
func (s *Server) GetLiveness(context.Context, api.GetLivenessRequestObject) (api.GetLivenessResponseObject, error) {
	return api.GetLiveness200JSONResponse{Status: api.HealthStatusOk}, nil
}

// readinessTTL is how long the server counts as ready after it was found so.
const readinessTTL = time.Second

// GetReadiness is GET /readyz. What the service knows to be wrong counts at once, and that it is not ready is not
// remembered.
func (s *Server) GetReadiness(ctx context.Context, _ api.GetReadinessRequestObject) (api.GetReadinessResponseObject, error) {
	if err := s.Service.KnownReady(); err != nil {
		return nil, err
	}
	failure, err := s.readiness.get(ctx, readinessTTL, func(ctx context.Context) (failure error, keep bool) {
		failure = s.Service.Ready(ctx)
		return failure, failure == nil
	})
	if err = cmp.Or(err, failure); err != nil {
		return nil, err
	}
	return api.GetReadiness200JSONResponse{Status: api.HealthStatusOk}, nil
}

// GetStatus is GET /v1/status.
func (s *Server) GetStatus(ctx context.Context, _ api.GetStatusRequestObject) (api.GetStatusResponseObject, error) {
	status, err := s.recentStatus(ctx, isAdmin(ctx))
	if err != nil {
		return nil, err
	}
	return api.GetStatus200JSONResponse(status), nil
}

// recentStatus returns the state of the server as it was a moment ago. That it is not ready is known at once, as
// [Server.GetReadiness] knows it.
func (s *Server) recentStatus(ctx context.Context, full bool) (api.Status, error) {
	if s.Service.KnownReady() != nil {
		return s.status(ctx, full), nil //nolint:nilerr // the status says so
	}
	recent := &s.publicStatus
	if full {
		recent = &s.fullStatus
	}
	return recent.get(ctx, s.Limits.Metrics, func(ctx context.Context) (status api.Status, keep bool) {
		status = s.status(ctx, full)
		return status, status.Ready
	})
}

// status returns the state of the server. Only the full one names apps and has the texts of errors.
func (s *Server) status(ctx context.Context, full bool) api.Status {
	now := s.Service.Status(ctx)
	stats := s.Service.Stats()
	recorded := now.Recorded
	if recorded.IsZero() {
		recorded = s.Started
	}
	status := api.Status{
		Service: api.StatusServiceRestante, Version: s.Version, Started: s.Started.UnixMilli(), Updated: unixMillis(now.Updated),
		ServerTime: now.Now.UnixMilli(), Ready: now.Ready, Storage: api.StatusStorageOk,
		Counts:   api.Counts{Nameplates: now.Counts.Nameplates, Mailboxes: now.Counts.Mailboxes, Messages: now.Counts.Messages, Sessions: now.Counts.Sessions},
		CountsAt: unixMillis(now.CountsAt), UpdatedAgeMs: max(now.Now.Sub(now.Updated).Milliseconds(), 0),
		RecordedAgeMs: max(now.Now.Sub(recorded).Milliseconds(), 0),
		StorageBytes:  api.StorageBytes{Database: now.Storage.Database, Log: now.Storage.Log},
		Sessions:      api.SessionCounts{Attached: now.Attached, Detached: max(now.Counts.Sessions-now.Attached, 0)},
		Clients: api.ClientCounts{
			Polls: stats.Parked.Load(), Streams: s.open.streams.Load(), Sockets: s.open.sockets.Load(), Wormhole: s.open.wormhole.Load(),
		},
		CodeDigits: stats.CodeDigits.Load(), ClockSkewMs: now.ClockSkew.Milliseconds(),
		Prune: api.Prune{
			OverdueMs:  now.Overdue.Milliseconds(),
			IntervalMs: s.Service.Config.PruneInterval.Milliseconds(),
			RunsTotal:  stats.PruneRuns.Load(), FailuresTotal: stats.PruneFailed.Load(), GoodRunsTotal: stats.PruneGood.Load(),
			Failures: make([]api.PruneFailure, len(now.Failures)),
			Retired: api.Retired{
				Nameplates: int64(now.Retired[rendezvous.KindNameplate]),
				Mailboxes:  int64(now.Retired[rendezvous.KindMailbox]),
				Sessions:   int64(now.Retired[rendezvous.KindSession]),
			},
		},
	}
	status.Ended = api.Ended{Here: endedCounts(now.Ended), AllTime: endedCounts(now.AllEnded)}
	if full {
		status.Servers = new(serversSeen(now.Servers))
	}
	if s.Service.HasWebhooks() {
		status.Webhooks = &api.WebhookCounts{
			Pending: now.Webhooks.Pending, Failing: now.Webhooks.Failing, Abandoned: now.Webhooks.Abandoned,
			ToldTotal: stats.Told.Load(), FailuresTotal: stats.NotTold.Load(), RefusedTotal: stats.Refused.Load(),
		}
		if !now.Webhooks.Oldest.IsZero() {
			status.Webhooks.PendingSince = new(now.Webhooks.Oldest.UnixMilli())
		}
	}
	if !now.StorageOK {
		status.Storage = api.StatusStorageUnavailable
	}
	if !now.Prune.Started.IsZero() {
		status.Prune.StartedAt, status.Prune.FinishedAt = new(now.Prune.Started.UnixMilli()), new(now.Prune.Finished.UnixMilli())
	}
	if !now.LastGood.IsZero() {
		status.Prune.LastGoodAt = new(now.LastGood.UnixMilli())
	}
	if !now.NextPrune.IsZero() {
		status.Prune.NextAt = new(now.NextPrune.UnixMilli())
	}
	for i, f := range now.Failures {
		status.Prune.Failures[i] = api.PruneFailure{
			Kind: api.PruneFailureKind(f.Kind), Key: f.Key, Attempts: int64(f.Attempts), LastAt: f.Last.UnixMilli(), NextTryAt: f.NextTry.UnixMilli(),
			Error: api.PruneFailureError(f.Class()),
		}
		if full && f.App != "" {
			status.Prune.Failures[i].App = new(string(f.App))
		}
		if full {
			status.Prune.Failures[i].Detail = new(f.Detail())
		}
	}
	return status
}

func endedCounts(totals rendezvous.UsageTotals) api.EndedCounts {
	results := func(kind rendezvous.Kind) api.ResultCounts {
		return api.ResultCounts{
			Happy: totals.Of(kind, rendezvous.ResultHappy), Lonely: totals.Of(kind, rendezvous.ResultLonely),
			Scary: totals.Of(kind, rendezvous.ResultScary), Errory: totals.Of(kind, rendezvous.ResultErrory),
			Pruney: totals.Of(kind, rendezvous.ResultPruney), Crowded: totals.Of(kind, rendezvous.ResultCrowded),
			Quiet: totals.Of(kind, rendezvous.ResultQuiet),
		}
	}
	return api.EndedCounts{Nameplates: results(rendezvous.KindNameplate), Mailboxes: results(rendezvous.KindMailbox)}
}

func serversSeen(servers []rendezvous.Server) []api.ServerSeen {
	list := make([]api.ServerSeen, len(servers))
	for i, s := range servers {
		list[i] = api.ServerSeen{ID: s.ID, Version: s.Version, StartedAt: s.Started.UnixMilli(), SeenAt: s.Seen.UnixMilli(), ClockSkewMs: s.Skew.Milliseconds()}
		if !s.Pruned.IsZero() {
			list[i].PrunedAt = new(s.Pruned.UnixMilli())
		}
	}
	return list
}
