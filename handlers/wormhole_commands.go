package handlers

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"

	"github.com/gorilla/websocket"

	"restante/rendezvous"
)

// conversation is where a wormhole client stands. It may do each thing once per
// connection, except open, which it may do again after it closed.
type conversation struct {
	challenge string // the resource of its hashcash
	permitted bool

	bound bool
	peer  rendezvous.SideRef

	allocated, claimed, released, closed bool

	nameplate *rendezvous.NameplateID // claimed, or released by name
	mailbox   *rendezvous.MailboxID   // opened, or closed by name
	following *following              // while a mailbox is open
	adding    adding
}

// command answers one frame: an ack first, then whatever it asks for, or an error.
func (c *socket) command(ctx context.Context, raw []byte) error {
	o, isObject := parse(raw)
	if isObject && !o.has("type") {
		return c.complain(missingType, raw) // the one case without an ack
	}
	id, long := o["id"], len(o["id"]) > maxOrig
	if id == nil || long {
		id = json.RawMessage("null")
	}
	c.hold(told("ack", fields{"id": id}))
	if long {
		return c.complain(tooLong("id"), raw)
	}
	if !isObject {
		return c.complain("a command must be a JSON object", []byte("{}"))
	}
	reply, err := c.answer(ctx, o, raw)
	var complained complaint
	switch {
	case errors.As(err, &complained):
		if err := c.settle(ctx); err != nil {
			return err
		}
		return c.complain(complained, raw)
	case err != nil:
		return err
	case reply != nil:
		return c.send(reply)
	case c.adding.busy():
		return nil // the ack goes with the echo
	}
	return c.send()
}

// answer does what a command asks for. The order of the checks is the reference server's.
func (c *socket) answer(ctx context.Context, o object, raw []byte) ([]byte, error) {
	kind, _ := o.text("type")
	if kind != "add" {
		if err := c.settle(ctx); err != nil { // the echoes, before any later answer
			return nil, err
		}
	}
	switch kind {
	case "ping":
		if !o.has("ping") {
			return nil, pingNeedsPing
		}
		if len(o["ping"]) > maxOrig {
			return nil, tooLong("ping")
		}
		return told("pong", fields{"pong": o["ping"]}), nil
	case "submit-permissions", "submit-permission": // the specification's word, and the deployed client's
		return nil, c.submit(o)
	case "bind":
		return nil, c.bind(o)
	}
	if !c.bound {
		return nil, mustBindFirst
	}
	switch kind {
	case "list":
		return c.list(ctx)
	case "allocate":
		return c.allocate(ctx)
	case "claim":
		return c.claim(ctx, o)
	case "release":
		return c.release(ctx, o)
	case "open":
		return nil, c.open(ctx, o)
	case "add":
		return nil, c.add(ctx, o, raw)
	case "close":
		return c.close(ctx, o)
	}
	return nil, unknownType
}

// limits of what a client may call things: beyond them it is told so.
const (
	maxName = 256
	maxText = 64 << 10
)

// name is a member that names something: a string that can be kept.
func (o object) name(member string, missing complaint) (string, error) {
	if !o.has(member) {
		return "", missing
	}
	value, is := o.text(member)
	if !is || len(value) > maxName || !rendezvous.Storable(value) {
		return "", complaint("'" + member + "' must be a string of at most " + strconv.Itoa(maxName) + " bytes, without NUL")
	}
	return value, nil
}

func (c *socket) bind(o object) error {
	if c.bound {
		return alreadyBound
	}
	app, err := o.name("appid", bindNeedsApp)
	if err != nil {
		return err
	}
	side, err := o.name("side", bindNeedsSide)
	if err != nil {
		return err
	}
	if app == "" || side == "" {
		return complaint("'appid' and 'side' must not be empty")
	}
	if c.notices.SignalError != "" {
		return complaint(c.notices.SignalError) // for clients that do not look at the welcome
	}
	if !c.permitted {
		return mustSubmitFirst
	}
	c.bound, c.peer = true, rendezvous.SideRef{App: rendezvous.AppID(app), Side: rendezvous.Side(side)}
	c.server.Service.RecordClient(c.peer, clientVersion(o))
	return nil
}

// clientVersion is [implementation, version]; whatever else it is, it is not held against the client.
func clientVersion(o object) (version [2]string) {
	var said []any
	if json.Unmarshal(o["client_version"], &said) != nil || len(said) < 2 {
		return version
	}
	for i := range version {
		if text, is := said[i].(string); is && len(text) <= maxName && rendezvous.Storable(text) {
			version[i] = text
		}
	}
	return version
}

func (c *socket) list(ctx context.Context) ([]byte, error) {
	var waiting []rendezvous.NameplateID
	if !c.notices.DisallowList {
		var err error
		if waiting, err = c.server.Service.ListFor(ctx, c.peer); err != nil {
			return nil, c.failed(err)
		}
	}
	type nameplate struct {
		ID rendezvous.NameplateID `json:"id"`
	}
	nameplates := make([]nameplate, len(waiting))
	for i, id := range waiting {
		nameplates[i].ID = id
	}
	return told("nameplates", fields{"nameplates": nameplates}), nil
}

func (c *socket) allocate(ctx context.Context) ([]byte, error) {
	if c.allocated {
		return nil, greedy
	}
	claimed, err := c.server.Service.AllocateFor(ctx, c.peer)
	if err != nil {
		return nil, c.failed(err)
	}
	c.allocated = true
	return told("allocated", fields{"nameplate": claimed.Nameplate, "mailbox": claimed.Mailbox}), nil
}

// nameplateOf is a member that must be a nameplate.
func nameplateOf(o object, missing complaint) (rendezvous.NameplateID, error) {
	name, err := o.name("nameplate", missing)
	if err != nil {
		return "", err
	}
	id, err := rendezvous.ParseNameplate(name)
	if err != nil {
		return "", complaint(err.Error())
	}
	return id, nil
}

func (c *socket) claim(ctx context.Context, o object) ([]byte, error) {
	id, err := nameplateOf(o, claimNeedsNameplat)
	if err != nil {
		return nil, err
	}
	if c.claimed {
		return nil, onlyOneClaim
	}
	c.claimed, c.nameplate = true, &id
	claimed, err := c.server.Service.ClaimFor(ctx, c.peer, id)
	if err != nil {
		return nil, c.failed(err)
	}
	return told("claimed", fields{"mailbox": claimed.Mailbox}), nil
}

func (c *socket) release(ctx context.Context, o object) ([]byte, error) {
	if c.released {
		return nil, onlyOneRelease
	}
	id := c.nameplate
	switch {
	case o.has("nameplate"):
		named, err := nameplateOf(o, "")
		if err != nil {
			return nil, err
		}
		if id != nil && *id != named {
			return nil, sameNameplate
		}
		id = &named
	case id == nil:
		return nil, releaseNeedsClaim
	}
	if err := c.server.Service.ReleaseFor(ctx, c.peer, *id); err != nil {
		return nil, c.failed(err)
	}
	c.released = true
	return told("released", nil), nil
}

func (c *socket) open(ctx context.Context, o object) error {
	if c.following != nil {
		return onlyOneOpen
	}
	name, err := o.name("mailbox", openNeedsMailbox)
	if err != nil {
		return err
	}
	if name == "" {
		return complaint("'mailbox' must not be empty") // it would be one mailbox for everyone with a malformed code
	}
	id := rendezvous.MailboxID(name)
	c.mailbox = &id // also if it is refused: who is can close it
	key, err := c.server.Service.OpenFor(ctx, c.peer, id)
	if err != nil {
		return c.failed(err)
	}
	c.follow(ctx, key)
	return nil
}

func (c *socket) add(ctx context.Context, o object, raw []byte) error {
	if c.following == nil {
		return mustOpenFirst
	}
	phase, err := o.name("phase", missingPhase)
	if err != nil {
		return err
	}
	if !o.has("body") {
		return missingBody
	}
	body, is := o.text("body")
	if !is || len(body) > maxText {
		return complaint("'body' must be a string of at most " + strconv.Itoa(maxText) + " bytes")
	}
	draft := rendezvous.Draft{Phase: phase, Body: body}
	if id, is := o.text("id"); is && len(id) <= maxName && rendezvous.Storable(id) {
		draft.ID = &id // anything but a string would break the other side's client
	}
	return c.enqueue(ctx, addition{draft, raw})
}

func (c *socket) close(ctx context.Context, o object) ([]byte, error) {
	if c.closed {
		return nil, onlyOneClose
	}
	id := c.mailbox
	switch {
	case o.has("mailbox"):
		name, err := o.name("mailbox", "")
		if err != nil {
			return nil, err
		}
		if id != nil && string(*id) != name {
			return nil, sameMailbox
		}
		named := rendezvous.MailboxID(name)
		id = &named
	case id == nil:
		return nil, closeNeedsOpen
	}
	said, _ := o.text("mood")
	mood, err := rendezvous.ParseMood(said)
	if err != nil {
		mood = rendezvous.Happy // a mood that nobody knows says nothing
	}
	if c.following != nil {
		if err := c.deliver(ctx, c.following); err != nil {
			return nil, err
		}
		c.stopFollowing()
	}
	if err := c.server.Service.CloseFor(ctx, c.peer, *id, mood); err != nil {
		return nil, c.failed(err)
	}
	c.closed, c.mailbox = true, nil
	return told("closed", nil), nil
}

// failed is a use case's failure as this protocol tells it. A client that cannot
// be served now is sent away to come back: an error would end its session for good.
func (c *socket) failed(err error) error {
	var f *rendezvous.Failure
	if !errors.As(err, &f) {
		return err
	}
	switch f.Code {
	case rendezvous.Crowded:
		return crowded
	case rendezvous.Reclaimed:
		return reclaimed
	case rendezvous.NotOpen:
		return mustOpenFirst
	case rendezvous.StorageUnavailable, rendezvous.OutcomeUnknown, rendezvous.Internal, rendezvous.Draining:
		c.server.Log.Error("wormhole command failed", "error", f)
		return &goodbye{websocket.CloseTryAgainLater, "try again later"}
	default:
		return complaint(f.Detail)
	}
}
