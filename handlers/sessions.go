package handlers

import (
	"context"
	"encoding/json"
	"time"

	"restante/api"
	"restante/handlers/welcome"
	"restante/rendezvous"
	"restante/session"
)

// protocolVersion is the one version of the session protocol that is spoken.
const protocolVersion = "1"

var versionMismatch = &rendezvous.Failure{Code: rendezvous.ProtocolVersionMismatch, Detail: `this server speaks protocolVersion "1"`}

// maxMetadata is the size of a handshake's metadata, in bytes of JSON.
const maxMetadata = 4 << 10

// BeginSession is POST /v1/sessions, the handshake.
func (s *Server) BeginSession(ctx context.Context, r api.BeginSessionRequestObject) (api.BeginSessionResponseObject, error) {
	h, err := handshake(ctx, r.Body)
	if err != nil {
		return nil, err
	}
	verdict := s.verdictOn(ctx, h.App, h.Client)
	if err := s.obey(ctx, verdict); err != nil {
		return nil, err
	}
	giveBack, refusal := s.permit(ctx, h.ID, r.Body.Permission)
	if refusal != nil && h.ID == (session.ID{}) {
		return nil, refusal // it resumes nothing
	}
	h.RefuseNew = refusal
	w, err := s.Service.Handshake(ctx, h)
	if err != nil || w.Resumed {
		giveBack()
	}
	if err != nil {
		return nil, err
	}
	config, settings := s.Service.Config, s.currentSettings()
	settings.Motd = joined(settings.Motd, verdict.Message)
	reply := api.HandshakeReply{
		SessionID: w.ID.Reveal(), AppID: string(w.App), Side: string(w.Side), Resumed: w.Resumed, Epoch: int64(w.Epoch),
		NextExpectedSeq: int64(w.Wanted), NextSentSeq: int64(w.Kept),
		HeartbeatIntervalMs: config.HeartbeatInterval.Milliseconds(), HeartbeatsUntilDead: int64(config.HeartbeatsUntilDead),
		SessionDisconnectGraceMs: w.Grace.Milliseconds(), ClientTimeoutMs: config.ClientTimeout.Milliseconds(),
		NextWaitMs: w.NextWait.Milliseconds(), ServerTime: w.Now.UnixMilli(),
		Welcome: greeting(settings, clientIP(ctx).String(), addressOf(ctx)),
	}
	if !w.TokenExpires.IsZero() {
		reply.TokenExpiresAt = new(w.TokenExpires.UnixMilli())
	}
	if w.Resumed {
		return api.BeginSession200JSONResponse(reply), nil
	}
	return api.BeginSession201JSONResponse(reply), nil
}

func handshake(ctx context.Context, b *api.Handshake) (rendezvous.Handshake, error) {
	if *b.ProtocolVersion != protocolVersion {
		return rendezvous.Handshake{}, versionMismatch
	}
	if b.Metadata != nil && !isMetadata(b.Metadata) {
		return rendezvous.Handshake{}, &invalid{rendezvous.MalformedHandshakeMeta, violations("#/body/metadata", "object", notMetadata)}
	}
	h := rendezvous.Handshake{
		App: rendezvous.AppID(b.AppID), Metadata: b.Metadata, Grace: milliseconds(b.GraceMs), Address: addressOf(ctx),
		NextExpected: session.Seq(*b.ExpectedSessionState.NextExpectedSeq), NextSent: session.Seq(*b.ExpectedSessionState.NextSentSeq),
	}
	if b.Epoch != nil {
		h.Epoch = session.Epoch(*b.Epoch)
	}
	if b.Side != nil {
		h.Side = rendezvous.Side(*b.Side)
	}
	if b.ClientVersion != nil {
		h.Client = [2]string(*b.ClientVersion)
	}
	if b.SessionID != nil {
		h.ID, _ = session.ParseID(*b.SessionID) // validated
	}
	if b.Replaces != nil {
		id, _ := session.ParseID(*b.Replaces) // validated
		h.Replaces = &id
	}
	return h, nil
}

const notMetadata = "must be an object of at most 4096 bytes"

// isMetadata reports whether JSON can be metadata.
func isMetadata(raw json.RawMessage) bool { return raw[0] == '{' && len(raw) <= maxMetadata }

// UpdateMetadata is PUT /v1/session/metadata.
func (s *Server) UpdateMetadata(ctx context.Context, r api.UpdateMetadataRequestObject) (api.UpdateMetadataResponseObject, error) {
	if !isMetadata(*r.Body) {
		return nil, &invalid{rendezvous.InvalidRequest, violations("#/body", "object", notMetadata)}
	}
	a, err := s.Service.UpdateMetadata(ctx, query(ctx, r.Params.Ack), *r.Body)
	if _, err := resultOf(ctx, a, err); err != nil {
		return nil, err
	}
	return api.UpdateMetadata204Response{}, nil
}

// permit returns a refusal that asks for a hashcash stamp, if the operator does and the handshake has none. A stamp is for
// a session, or for an address if the client leaves the session's id to the server. If the handshake begins no session,
// giveBack is called: the stamp can be used again.
func (s *Server) permit(ctx context.Context, id session.ID, p *api.Permission) (giveBack func(), refusal error) {
	nothing := func() {}
	required := s.currentSettings().HashcashBits
	if required == 0 {
		return nothing, nil
	}
	subject, now := addressOf(ctx), time.Now()
	if id != (session.ID{}) {
		key := id.Key()
		subject += " " + string(key[:])
	}
	if p != nil && string(p.Method) == welcome.MethodHashcash {
		if giveBack, ok := s.challenges.Accept(p.Stamp, subject, required, now); ok {
			return giveBack, nil
		}
	}
	return nothing, &rendezvous.Failure{
		Code:   rendezvous.PermissionRequired,
		Detail: "this server asks for work first: send 'permission' with a hashcash stamp of so many bits for this resource",
		Work:   &rendezvous.Work{Bits: required, Resource: s.challenges.Resource(subject, now)},
	}
}

// greeting is what the client of a handshake is told.
func greeting(s welcome.Settings, address, id string) api.Welcome {
	w := api.Welcome{YourAddress: address, AddressID: id}
	for text, member := range map[*string]**string{&s.Motd: &w.Motd, &s.AdvertiseVersion: &w.CurrentCliVersion, &s.SignalError: &w.Error} {
		if *text != "" {
			*member = text
		}
	}
	return w
}

// GetSession is GET /v1/session.
func (s *Server) GetSession(ctx context.Context, r api.GetSessionRequestObject) (api.GetSessionResponseObject, error) {
	a, err := s.Service.Session(ctx, query(ctx, r.Params.Ack))
	o, err := resultOf(ctx, a, err)
	if err != nil {
		return nil, err
	}
	view := api.GetSession200JSONResponse{
		AppID: string(o.Session.App), Side: string(o.Session.Side), Epoch: int64(o.Session.Epoch), State: api.SessionStateAttached,
		NextExpectedSeq: int64(o.Session.Wanted), NextSentSeq: int64(o.Kept), NextFrameSeq: int64(o.Session.Next),
		UnacknowledgedFrames: int64(o.Session.Next - o.Kept), SessionDisconnectGraceMs: o.Session.Grace.Milliseconds(),
		Nameplates: make([]string, len(o.Nameplates)), Mailboxes: make([]string, len(o.Mailboxes)), ServerTime: o.Now.UnixMilli(),
	}
	if o.WasDetached {
		view.State = api.SessionStateDetached
	}
	for i, id := range o.Nameplates {
		view.Nameplates[i] = string(id)
	}
	for i, id := range o.Mailboxes {
		view.Mailboxes[i] = string(id)
	}
	return view, nil
}

// EndSession is DELETE /v1/session.
func (s *Server) EndSession(ctx context.Context, r api.EndSessionRequestObject) (api.EndSessionResponseObject, error) {
	var mood *rendezvous.Mood
	if r.Params.Mood != nil {
		mood = new(rendezvous.Mood(*r.Params.Mood))
	}
	a, err := s.Service.End(ctx, command(ctx, r.Params.Seq, r.Params.Ack), mood)
	if _, err := resultOf(ctx, a, err); err != nil {
		return nil, err
	}
	return api.EndSession204Response{}, nil
}
