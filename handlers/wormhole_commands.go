package handlers

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"restante/rendezvous"
)

// conversation is where a wormhole client stands. It may do each thing once per
// connection, except open, which it may do again after it closed.
type conversation struct {
	challenge string // the resource of its hashcash
	permitted bool

	bound bool
	peer  rendezvous.Peer

	allocated, claimed, released, closed bool

	nameplate *rendezvous.NameplateID // claimed, or released by name
	mailbox   *rendezvous.MailboxID   // opened, or closed by name
	following *following              // while a mailbox is open
	adding    adding
}

// following is a mailbox that is being followed.
type following struct {
	key   rendezvous.MailboxKey
	stop  func()
	letGo func()
	ended chan struct{}

	mu    sync.Mutex // guards after, and holds it still while messages up to it are sent
	after rendezvous.Position
}

// complaint is an `error` that a client is told. It keeps its connection.
type complaint string

func (c complaint) Error() string { return string(c) }

// The complaints of the reference server, to the letter: clients compare them.
const (
	missingType        complaint = "missing 'type'"
	unknownType        complaint = "unknown type"
	mustBindFirst      complaint = "must bind first"
	alreadyBound       complaint = "already bound"
	bindNeedsApp       complaint = "bind requires 'appid'"
	bindNeedsSide      complaint = "bind requires 'side'"
	pingNeedsPing      complaint = "ping requires 'ping'"
	greedy             complaint = "you already allocated one, don't be greedy"
	claimNeedsNameplat complaint = "claim requires 'nameplate'"
	onlyOneClaim       complaint = "only one claim per connection"
	sameNameplate      complaint = "release and claim must use same nameplate"
	releaseNeedsClaim  complaint = "release without nameplate must follow claim"
	onlyOneRelease     complaint = "only one release per connection"
	onlyOneOpen        complaint = "only one open per connection"
	openNeedsMailbox   complaint = "open requires 'mailbox'"
	mustOpenFirst      complaint = "must open mailbox before adding"
	missingPhase       complaint = "missing 'phase'"
	missingBody        complaint = "missing 'body'"
	sameMailbox        complaint = "open and close must use same mailbox"
	closeNeedsOpen     complaint = "close without mailbox must follow open"
	onlyOneClose       complaint = "only one close per connection"
	crowded            complaint = "crowded"
	reclaimed          complaint = "reclaimed"
	mustSubmitFirst    complaint = "must submit-permission first"
	submitFailed       complaint = "submit-permission failed"
)

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

// maxOrig is the largest command that is repeated whole in an error: what is
// sent must stay below the 32 KiB that Go clients read.
const maxOrig = 16 << 10

func (c *socket) complain(what complaint, raw []byte) error {
	if len(raw) > maxOrig {
		raw = shortened(raw)
	}
	return c.send(told("error", fields{"error": string(what), "orig": json.RawMessage(raw)}))
}

// tooLong is told of a member that would have to be repeated.
func tooLong(member string) complaint {
	return complaint("'" + member + "' must be at most " + strconv.Itoa(maxOrig) + " bytes of JSON")
}

// shortened is a command without what is long in it. It still has the members that
// some clients look for, since they read it as a command again.
func shortened(raw []byte) []byte {
	const long = 256
	o, _ := parse(raw) // it was parsed before
	kept := object{}
	for _, name := range []string{"type", "id", "appid", "side", "nameplate", "mailbox", "mood", "phase", "body", "ping"} {
		value, there := o[name]
		switch {
		case !there:
			continue
		case len(value) > long && value[0] == '"':
			value = json.RawMessage(`""`)
		case len(value) > long:
			value = json.RawMessage("null")
		}
		kept[name] = value
	}
	short, err := json.Marshal(kept)
	if err != nil {
		return []byte("{}") // unreachable: it is made of JSON that was read
	}
	return short
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
	c.bound, c.peer = true, rendezvous.Peer{App: rendezvous.AppID(app), Side: rendezvous.Side(side)}
	c.server.Service.Arrived(c.peer, clientVersion(o))
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

// follow begins to deliver a mailbox's messages: those it holds, then those to come.
func (c *socket) follow(ctx context.Context, key rendezvous.MailboxKey) {
	f := &following{key: key, letGo: c.server.Service.Hold(key), ended: make(chan struct{})}
	c.following = f
	f.stop = c.server.Service.Follow(key, func() error { return c.deliver(ctx, f) }, func(err error) {
		if _, is := errors.AsType[*rendezvous.Failure](err); is {
			c.bye(&goodbye{websocket.CloseTryAgainLater, "try again later"})
		}
		close(f.ended)
	})
}

// stopFollowing ends that.
func (c *socket) stopFollowing() {
	if f := c.following; f != nil {
		f.stop()
		f.letGo()
		<-f.ended
		c.following = nil
	}
}

// deliver sends what the mailbox holds and was not sent yet. A mailbox that is
// gone is said nothing of: clients do not expect to be told.
func (c *socket) deliver(ctx context.Context, f *following) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for {
		messages, err := c.server.Service.Tail(ctx, f.key, f.after)
		if errors.Is(err, rendezvous.ErrRetired) {
			return nil
		}
		if err != nil || len(messages) == 0 {
			return err
		}
		for _, m := range messages {
			c.hold(told("message", fields{"side": m.Side, "phase": m.Phase, "body": m.Body, "id": m.ID, "server_rx": seconds(m.Received)}))
		}
		if err := c.send(); err != nil {
			return err
		}
		f.after = messages[len(messages)-1].Position
	}
}

// fields are what a message to the client says, beside its type and the time.
type fields map[string]any

// told is a message to the client.
func told(kind string, says fields) []byte {
	message := append([]byte(`{"type":"`), kind...)
	message = append(message, `","server_tx":`...)
	message = seconds(time.Now()).append(message)
	for _, name := range slices.Sorted(maps.Keys(says)) {
		message = append(message, `,"`...)
		message = append(message, name...)
		message = append(message, `":`...)
		message = appendJSON(message, says[name])
	}
	return append(message, '}')
}

// appendJSON appends a value's JSON.
func appendJSON(to []byte, value any) []byte {
	if raw, is := value.(json.RawMessage); is && len(raw) > 0 {
		return append(to, bytes.TrimSpace(raw)...)
	}
	var encoded bytes.Buffer
	encoder := json.NewEncoder(&encoded)
	encoder.SetEscapeHTML(false) // what is repeated must not grow
	if err := encoder.Encode(value); err != nil {
		panic("unreachable: what is told is made of strings, numbers and JSON that was read: " + err.Error())
	}
	return append(to, bytes.TrimSuffix(encoded.Bytes(), []byte("\n"))...)
}

// seconds is a time in seconds since the epoch, always with a fraction: some
// clients read a number without one as another type.
type fraction time.Time

func seconds(t time.Time) fraction { return fraction(t) }

// MarshalJSON implements json.Marshaler.
func (f fraction) MarshalJSON() ([]byte, error) { return f.append(nil), nil }

func (f fraction) append(to []byte) []byte {
	return strconv.AppendFloat(to, float64(time.Time(f).UnixMicro())/1e6, 'f', 6, 64)
}
