package handlers

import (
	"encoding/json"
	"strconv"
)

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
