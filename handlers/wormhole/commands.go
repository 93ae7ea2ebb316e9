package wormhole

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strconv"

	"restante/internal/jsonobject"
	"restante/rendezvous"
)

// state is what a client has done. It may do each thing once per connection, except open, which it may do again
// after a close.
type state struct {
	resource  string // of the client's hashcash stamp
	permitted bool   // no stamp is asked for, or a valid one has come

	bound bool
	side  rendezvous.SideRef

	allocated, claimed, released, closed bool

	nameplate    *rendezvous.NameplateID // claimed, or released by name
	mailbox      *rendezvous.MailboxID   // opened, or closed by name
	subscription *subscription           // while a mailbox is open
	pipeline     pipeline
}

// command answers one command: first an ack, then the reply or an error.
func (c *conn) command(ctx context.Context, raw []byte) error {
	o, isObject := jsonobject.Parse(raw)
	if isObject && !o.Has("type") {
		return c.sendError(missingType, raw) // the one case without an ack
	}
	id, long := o["id"], len(o["id"]) > maxOrig
	if id == nil || long {
		id = json.RawMessage("null")
	}
	c.Queue(encodeMessage("ack", member{"id", id}))
	if long {
		return c.sendError(tooLong("id"), raw)
	}
	if !isObject {
		return c.sendError("a command must be a JSON object with each member once", []byte("{}"))
	}
	reply, err := c.answer(ctx, o, raw)
	kind, _ := o.String("type")
	c.server.Observe(commandName(kind), outcome(err))
	var refused protocolError
	switch {
	case errors.As(err, &refused):
		if err := c.drain(ctx); err != nil {
			return err
		}
		return c.sendError(refused, raw)
	case err != nil:
		return err
	case reply != nil:
		return c.Send(reply)
	case c.pipeline.busy():
		return nil // the ack goes with the echo
	}
	return c.Send()
}

// commandNames is what a command may have as its type.
var commandNames = []string{"ping", "submit-permissions", "submit-permission", "bind", "list", "allocate", "claim", "release", "open", "add", "close"}

// commandName returns the type of a command, or "other" for what a client makes up: that must not fill metrics.
func commandName(kind string) string {
	if slices.Contains(commandNames, kind) {
		return kind
	}
	return "other"
}

// outcome returns what became of a command: "ok", the error of the reference server that its client was told, "refused"
// for any other error, or "failed" if the connection ends over it.
func outcome(err error) string {
	var refused protocolError
	switch {
	case err == nil:
		return "ok"
	case !errors.As(err, &refused):
		return "failed"
	case slices.Contains(referenceErrors, refused):
		return string(refused)
	default:
		return "refused"
	}
}

// answer does what a command asks for, and returns the reply, if there is one. The order of the checks is that of the
// reference server.
func (c *conn) answer(ctx context.Context, o jsonobject.Object, raw []byte) ([]byte, error) {
	kind, _ := o.String("type")
	if kind != "add" {
		if err := c.drain(ctx); err != nil { // the echoes go before any later reply
			return nil, err
		}
	}
	switch kind {
	case "ping":
		if !o.Has("ping") {
			return nil, pingNeedsPing
		}
		if len(o["ping"]) > maxOrig {
			return nil, tooLong("ping")
		}
		return encodeMessage("pong", member{"pong", o["ping"]}), nil
	case "submit-permissions", "submit-permission": // the word of the specification, and that of the deployed client
		return nil, c.submit(o)
	case "bind":
		return nil, c.bind(ctx, o)
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

func (c *conn) bind(ctx context.Context, o jsonobject.Object) error {
	if c.bound {
		return alreadyBound
	}
	c.stopWorking() // also if it is refused: most clients cannot do the work, and need not wait for it
	app, err := nameOf(o, "appid", bindNeedsApp)
	if err != nil {
		return err
	}
	side, err := nameOf(o, "side", bindNeedsSide)
	if err != nil {
		return err
	}
	if app == "" || side == "" {
		return protocolError("'appid' and 'side' must not be empty")
	}
	if rendezvous.ReservedSide(rendezvous.Side(side)) {
		return protocolError("no 'side' begins with 'k.': those belong to clients with a secret")
	}
	version, err := clientVersion(o)
	if err != nil {
		return err
	}
	if c.settings.SignalError != "" {
		return protocolError(c.settings.SignalError) // for clients that do not look at the welcome
	}
	if !c.permitted {
		return mustSubmitFirst
	}
	if err := c.admit(ctx, rendezvous.AppID(app), version); err != nil {
		return err
	}
	c.bound, c.side = true, rendezvous.SideRef{App: rendezvous.AppID(app), Side: rendezvous.Side(side), Address: c.client.Address}
	c.leaveSide = c.server.sides.enter(c.side.App, c.side.Side)
	c.server.Service.RecordClient(c.side.App, version)
	return nil
}

// clientVersion returns [implementation, version], both empty if the client did not say. More than these two is ignored.
func clientVersion(o jsonobject.Object) (version [2]string, err error) {
	raw := o["client_version"]
	if raw == nil || string(raw) == "null" {
		return version, nil
	}
	var said []json.RawMessage
	bad := json.Unmarshal(raw, &said) != nil || len(said) < len(version)
	for i := 0; i < len(version) && !bad; i++ {
		text, is := jsonobject.Object{"": said[i]}.String("")
		bad = !is || len(text) > maxName || !rendezvous.Storable(text)
		version[i] = text
	}
	if bad {
		return version, protocolError("'client_version' must be a list of two strings of at most " + strconv.Itoa(maxName) + " bytes, without NUL")
	}
	return version, nil
}

func (c *conn) list(ctx context.Context) ([]byte, error) {
	var waiting []rendezvous.NameplateID
	if !c.settings.DisallowList {
		var err error
		if waiting, err = c.server.Service.ListFor(ctx, c.side); err != nil {
			return nil, c.clientError(err)
		}
	}
	type nameplate struct {
		ID rendezvous.NameplateID `json:"id"`
	}
	nameplates := make([]nameplate, len(waiting))
	for i, id := range waiting {
		nameplates[i].ID = id
	}
	return encodeMessage("nameplates", member{"nameplates", nameplates}), nil
}

func (c *conn) allocate(ctx context.Context) ([]byte, error) {
	if c.allocated {
		return nil, allocatedBefore
	}
	claimed, err := c.slowly(func() (rendezvous.Claimed, error) { return c.server.Service.AllocateFor(ctx, c.side) })
	if err != nil {
		return nil, c.clientError(err)
	}
	c.allocated = true
	return encodeMessage("allocated", member{"nameplate", string(claimed.Nameplate)}, member{"mailbox", string(claimed.Mailbox)}), nil
}

// nameplateOf returns the member nameplate.
func nameplateOf(o jsonobject.Object, missing protocolError) (rendezvous.NameplateID, error) {
	name, err := nameOf(o, "nameplate", missing)
	if err != nil {
		return "", err
	}
	id, err := rendezvous.ParseNameplate(name)
	if err != nil {
		return "", protocolError(err.Error())
	}
	return id, nil
}

func (c *conn) claim(ctx context.Context, o jsonobject.Object) ([]byte, error) {
	id, err := nameplateOf(o, claimNeedsNameplate)
	if err != nil {
		return nil, err
	}
	if c.claimed {
		return nil, onlyOneClaim
	}
	claimed, err := c.slowly(func() (rendezvous.Claimed, error) { return c.server.Service.ClaimFor(ctx, c.side, id) })
	err = c.clientError(err)
	if !mayTryAgain(err) {
		c.claimed, c.nameplate = true, &id
	}
	if err != nil {
		return nil, err
	}
	return encodeMessage("claimed", member{"mailbox", string(claimed.Mailbox)}), nil
}

func (c *conn) release(ctx context.Context, o jsonobject.Object) ([]byte, error) {
	if c.released {
		return nil, onlyOneRelease
	}
	id := c.nameplate
	switch {
	case o.Has("nameplate"):
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
	if err := c.server.Service.ReleaseFor(ctx, c.side, *id); err != nil {
		return nil, c.clientError(err)
	}
	c.released = true
	return encodeMessage("released"), nil
}

func (c *conn) open(ctx context.Context, o jsonobject.Object) error {
	if err := c.leaveEnded(ctx); err != nil {
		return err
	}
	if c.subscription != nil {
		return onlyOneOpen
	}
	name, err := nameOf(o, "mailbox", openNeedsMailbox)
	if err != nil {
		return err
	}
	if name == "" {
		return protocolError("'mailbox' must not be empty") // it would be one mailbox for everyone with a malformed code
	}
	id := rendezvous.MailboxID(name)
	key, err := c.server.Service.OpenFor(ctx, c.side, id)
	err = c.clientError(err)
	if !mayTryAgain(err) {
		c.mailbox = &id // also if it is crowded: then the client can close it
	}
	if err != nil {
		return err
	}
	c.subscribe(ctx, key)
	return nil
}

func (c *conn) add(ctx context.Context, o jsonobject.Object, raw []byte) error {
	if c.subscription == nil {
		return mustOpenFirst
	}
	phase, err := nameOf(o, "phase", missingPhase)
	if err != nil {
		return err
	}
	if !o.Has("body") {
		return missingBody
	}
	body, is := o.String("body")
	if !is || len(body) > maxText {
		return protocolError("'body' must be a string of at most " + strconv.Itoa(maxText) + " bytes")
	}
	if o.Composed("id") {
		return protocolError("'id' must not be a list or an object")
	}
	draft := rendezvous.Draft{Phase: phase, Body: body}
	if id, is := o.String("id"); is && len(id) <= maxMessageID && rendezvous.Storable(id) {
		draft.ID = &id // anything but a string would break the other side's client
	}
	return c.enqueue(ctx, addition{draft, raw})
}

func (c *conn) close(ctx context.Context, o jsonobject.Object) ([]byte, error) {
	if c.closed {
		return nil, onlyOneClose
	}
	id := c.mailbox
	switch {
	case o.Has("mailbox"):
		name, err := nameOf(o, "mailbox", "")
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
	if o.Composed("mood") {
		return nil, protocolError("'mood' must not be a list or an object")
	}
	said, _ := o.String("mood")
	mood, err := rendezvous.ParseMood(said)
	if err != nil {
		mood = rendezvous.Happy // an unknown mood says nothing
	}
	if c.subscription != nil {
		if err := c.deliver(ctx, c.subscription); err != nil && !errors.Is(err, rendezvous.ErrRetired) {
			return nil, c.clientError(err)
		}
		c.unsubscribe()
	}
	if err := c.server.Service.CloseFor(ctx, c.side, *id, mood); err != nil {
		return nil, c.clientError(err)
	}
	c.closed, c.mailbox = true, nil
	return encodeMessage("closed"), nil
}

// The longest names and texts that a client may send, in bytes.
const (
	maxName = 256
	// maxMessageID is the longest id of a message that others are told.
	maxMessageID = 4 << 10
	maxText      = 64 << 10
)

// nameOf returns a member that names something: a string that can be stored.
func nameOf(o jsonobject.Object, member string, missing protocolError) (string, error) {
	if !o.Has(member) {
		return "", missing
	}
	value, is := o.String(member)
	if !is || len(value) > maxName || !rendezvous.Storable(value) {
		return "", protocolError("'" + member + "' must be a string of at most " + strconv.Itoa(maxName) + " bytes, without NUL")
	}
	return value, nil
}
