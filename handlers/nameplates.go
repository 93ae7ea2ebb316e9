package handlers

import (
	"context"

	"restante/api"
	"restante/rendezvous"
)

// AllocateNameplate is POST /v1/nameplates.
func (s *Server) AllocateNameplate(ctx context.Context, r api.AllocateNameplateRequestObject) (api.AllocateNameplateResponseObject, error) {
	a, err := s.Service.Allocate(ctx, command(ctx, r.Params.Seq, r.Params.Ack), lifetime(r.Body))
	claimed, err := resultOf(ctx, a, err)
	if err != nil {
		return nil, err
	}
	return api.AllocateNameplate201JSONResponse(claim(claimed)), nil
}

// ClaimNameplate is PUT /v1/nameplates/{nameplate}.
func (s *Server) ClaimNameplate(ctx context.Context, r api.ClaimNameplateRequestObject) (api.ClaimNameplateResponseObject, error) {
	a, err := s.Service.Claim(ctx, command(ctx, r.Params.Seq, r.Params.Ack), rendezvous.NameplateID(r.Nameplate), lifetime(r.Body))
	claimed, err := resultOf(ctx, a, err)
	if err != nil {
		return nil, err
	}
	return api.ClaimNameplate200JSONResponse(claim(claimed)), nil
}

// ReleaseNameplate is DELETE /v1/nameplates/{nameplate}.
func (s *Server) ReleaseNameplate(ctx context.Context, r api.ReleaseNameplateRequestObject) (api.ReleaseNameplateResponseObject, error) {
	a, err := s.Service.Release(ctx, command(ctx, r.Params.Seq, r.Params.Ack), rendezvous.NameplateID(r.Nameplate))
	if _, err := resultOf(ctx, a, err); err != nil {
		return nil, err
	}
	return api.ReleaseNameplate204Response{}, nil
}

// ListNameplates is GET /v1/nameplates.
func (s *Server) ListNameplates(ctx context.Context, r api.ListNameplatesRequestObject) (api.ListNameplatesResponseObject, error) {
	a, err := s.Service.List(ctx, query(ctx, r.Params.Ack))
	waiting, err := resultOf(ctx, a, err)
	if err != nil {
		return nil, err
	}
	if s.currentSettings().DisallowList {
		waiting = nil
	}
	list := api.ListNameplates200JSONResponse{Nameplates: make([]api.Nameplate, len(waiting))}
	for i, id := range waiting {
		list.Nameplates[i].ID = string(id)
	}
	return list, nil
}

func claim(c rendezvous.Claimed) api.Claim {
	return api.Claim{Nameplate: string(c.Nameplate), Mailbox: string(c.Mailbox)}
}
