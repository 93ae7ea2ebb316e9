package wormhole

import (
	"encoding/json"
	"errors"
	"slices"
	"strconv"

	"github.com/gorilla/websocket"

	"restante/internal/jsonobject"
	"restante/internal/ws"
	"restante/rendezvous"
)

// protocolError is an `error` message to a client. The connection stays open.
type protocolError string

func (e protocolError) Error() string { return string(e) }

// The errors of the reference server, to the letter: clients compare them.
const (
	missingType         protocolError = "missing 'type'"
	unknownType         protocolError = "unknown type"
	mustBindFirst       protocolError = "must bind first"
	alreadyBound        protocolError = "already bound"
	bindNeedsApp        protocolError = "bind requires 'appid'"
	bindNeedsSide       protocolError = "bind requires 'side'"
	pingNeedsPing       protocolError = "ping requires 'ping'"
	allocatedBefore     protocolError = "you already allocated one, don't be greedy"
	claimNeedsNameplate protocolError = "claim requires 'nameplate'"
	onlyOneClaim        protocolError = "only one claim per connection"
	sameNameplate       protocolError = "release and claim must use same nameplate"
	releaseNeedsClaim   protocolError = "release without nameplate must follow claim"
	onlyOneRelease      protocolError = "only one release per connection"
	onlyOneOpen         protocolError = "only one open per connection"
	openNeedsMailbox    protocolError = "open requires 'mailbox'"
	mustOpenFirst       protocolError = "must open mailbox before adding"
	missingPhase        protocolError = "missing 'phase'"
	missingBody         protocolError = "missing 'body'"
	sameMailbox         protocolError = "open and close must use same mailbox"
	closeNeedsOpen      protocolError = "close without mailbox must follow open"
	onlyOneClose        protocolError = "only one close per connection"
	crowded             protocolError = "crowded"
	reclaimed           protocolError = "reclaimed"
	mustSubmitFirst     protocolError = "must submit-permission first"
	submitFailed        protocolError = "submit-permission failed"
)

// referenceErrors are these errors.
var referenceErrors = []protocolError{
	missingType, unknownType, mustBindFirst, alreadyBound, bindNeedsApp, bindNeedsSide, pingNeedsPing, allocatedBefore, claimNeedsNameplate,
	onlyOneClaim, sameNameplate, releaseNeedsClaim, onlyOneRelease, onlyOneOpen, openNeedsMailbox, mustOpenFirst, missingPhase, missingBody,
	sameMailbox, closeNeedsOpen, onlyOneClose, crowded, reclaimed, mustSubmitFirst, submitFailed,
}

// mayTryAgain reports whether an error is a refusal that the reference server does not have. It says what the client can
// do about it, so the client may then try again on the same connection.
func mayTryAgain(err error) bool {
	refused, is := errors.AsType[protocolError](err)
	return is && !slices.Contains(referenceErrors, refused)
}

// mailboxGone tells a client that the mailbox it has open was pruned, or was closed by both sides while this
// connection had it open. The reference server says nothing then, and the client waits for ever.
const mailboxGone protocolError = "mailbox is gone"

// maxOrig is the length of the longest command that an error repeats whole, in bytes. Go clients read at most 32 KiB.
const maxOrig = 16 << 10

// sendError sends an error and the command that it is about.
func (c *conn) sendError(what protocolError, raw []byte) error {
	if len(raw) > maxOrig {
		raw = shortened(raw)
	}
	return c.Send(encodeMessage("error", member{"error", string(what)}, member{"orig", json.RawMessage(raw)}))
}

// tooLong refuses a member that the reply would repeat.
func tooLong(member string) protocolError {
	return protocolError("'" + member + "' must be at most " + strconv.Itoa(maxOrig) + " bytes of JSON")
}

// shortened returns a command without its long members. It keeps the members that some clients look for, since they
// read it as a command again.
func shortened(raw []byte) []byte {
	const long = 256
	o, _ := jsonobject.Parse(raw) // it was parsed before
	kept := jsonobject.Object{}
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

// clientError turns the failure of a use case into an error of this protocol. If the server cannot serve the client
// now, the connection is closed, so that the client comes back: an error message would end its session for good.
func (c *conn) clientError(err error) error {
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
		return &ws.CloseError{Code: websocket.CloseTryAgainLater, Reason: "try again later"}
	default:
		c.server.Refused(f.Code, c.client.Address)
		return protocolError(f.Detail)
	}
}
