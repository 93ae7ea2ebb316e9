package apifuzz

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
)

// world is what clients know of a server: their sessions, and the ids that they have heard. Requests that use it get
// further than those that use anything.
type world struct {
	rng      *rand.Rand
	contract *contract
	waits    bool // requests may ask to be held, because time is virtual
	sessions []*client
	secrets  []string // Basic credentials
	boxes    []string
	plates   []string
	keys     []string    // of sessions, as the admin side lists them
	asked    *permission // that a handshake needed; nil: none did
	current  *client     // of the request that is being drawn
}

// permission is what a server asks for before it begins a session: the same handshake with a stamp.
type permission struct {
	body     []byte
	peer     string
	bits     int
	resource string
}

// client is one client with a session.
type client struct {
	id, app, side string
	epoch         int64
	wanted        int64 // the next command
	next          int64 // the next frame
}

var apps = []string{"app", "example.org/tea"}

func newWorld(rng *rand.Rand, c *contract, waits bool) *world {
	w := &world{rng: rng, contract: c, waits: waits, boxes: []string{"tea", "m"}, plates: []string{"4", "7"}, keys: []string{strings.Repeat("0", 64)}}
	for i := range 4 {
		w.secrets = append(w.secrets, "Basic "+base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "%s:a-secret-of-a-job-%08d", apps[i%2], i)))
	}
	return w
}

func (w *world) draw(n int) int { return w.rng.IntN(n) }

func (w *world) newID() string {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], w.rng.Uint64())
	binary.BigEndian.PutUint64(b[8:], w.rng.Uint64())
	return hex.EncodeToString(b[:])
}

// hint draws a value from what is known.
func (w *world) hint(name string) (any, bool) {
	c := w.current
	often := w.draw(10) < 8
	switch name {
	case "protocolVersion":
		return "1", true
	case "appId":
		return apps[w.draw(2)], often
	case "side":
		return fmt.Sprintf("side%d", w.draw(12)), often
	case "mailbox":
		return w.boxes[w.draw(len(w.boxes))], often
	case "nameplate":
		return w.plates[w.draw(len(w.plates))], often
	case "sessionId":
		return w.newID(), often
	case "replaces":
		if len(w.sessions) > 0 {
			return w.sessions[w.draw(len(w.sessions))].id, often
		}
	case "key":
		return w.keys[w.draw(len(w.keys))], often
	case "nextExpectedSeq", "nextSentSeq":
		return number(0), often
	case "after":
		return number(0), often
	case "wait":
		if w.waits && w.draw(300) == 0 {
			return number(int64(w.draw(40))), true
		}
		return number(0), true
	case "epoch", "Epoch":
		if c != nil {
			return number(c.epoch), often
		}
	case "ack", "Ack", "Last-Event-ID":
		if c != nil {
			return number(max(0, c.next-int64(w.draw(2)))), often
		}
	case "Seq":
		if c != nil {
			return number(max(0, c.wanted-int64(w.draw(40)/36))), often
		}
	case "Idempotency-Key":
		return fmt.Sprint("key ", w.draw(30)), true
	case "ttlMs", "graceMs":
		return number(int64(w.draw(86_400_001))), often
	case "Prefer":
		return "wait=0", !w.waits || often
	case "stamp":
		return w.stamp(3, "x"), true
	}
	return nil, false
}

// handshake draws a handshake that resumes a session.
func (w *world) handshake(c *client) map[string]any {
	h := map[string]any{
		"protocolVersion": "1", "sessionId": c.id, "appId": c.app,
		"expectedSessionState": map[string]any{"nextExpectedSeq": number(c.next), "nextSentSeq": number(c.wanted)},
	}
	if w.draw(2) == 0 {
		h["side"] = c.side
	}
	if w.draw(2) == 0 {
		h["epoch"] = number(c.epoch)
	}
	return h
}

// permitted returns the handshake again, with a stamp.
func (w *world) permitted(in *input) any {
	asked := w.asked
	w.asked = nil
	var h map[string]any
	if decode(asked.body, &h) != nil {
		return map[string]any{}
	}
	in.peer = asked.peer
	h["permission"] = map[string]any{"method": "hashcash", "stamp": w.stamp(asked.bits, asked.resource)}
	return h
}

// decode decodes JSON, with its numbers as they stand.
func decode(text []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	return d.Decode(into)
}

// learn takes what an answer says.
func (w *world) learn(in *input, status int, header http.Header, body []byte) {
	if wanted := header.Get("Ack"); wanted != "" && in.client != nil {
		_, _ = fmt.Sscan(wanted, &in.client.wanted)
	}
	if status == http.StatusUnauthorized || status == http.StatusGone {
		w.forget(in.client)
	}
	if in.op == nil || status >= http.StatusBadRequest && status != http.StatusForbidden {
		return
	}
	switch in.op.name {
	case "beginSession":
		w.greeted(in, body)
	case "receive":
		w.received(in, body)
	case "allocateNameplate", "claimNameplate":
		var said struct {
			Nameplate string `json:"nameplate"`
			Mailbox   string `json:"mailbox"`
		}
		if json.Unmarshal(body, &said) == nil && said.Mailbox != "" {
			w.boxes = append(w.boxes[max(0, len(w.boxes)-7):], said.Mailbox)
			w.plates = append(w.plates[max(0, len(w.plates)-7):], said.Nameplate)
		}
	case "listSessions":
		var said struct {
			Sessions []struct {
				Key string `json:"key"`
			} `json:"sessions"`
		}
		if json.Unmarshal(body, &said) == nil && len(said.Sessions) > 0 {
			w.keys = append(w.keys[max(0, len(w.keys)-3):], said.Sessions[w.draw(len(said.Sessions))].Key)
		}
	}
}

func (w *world) greeted(in *input, body []byte) {
	var said struct {
		SessionID          string `json:"sessionId"`
		AppID              string `json:"appId"`
		Side               string `json:"side"`
		Epoch              int64  `json:"epoch"`
		NextExpectedSeq    int64  `json:"nextExpectedSeq"`
		NextSentSeq        int64  `json:"nextSentSeq"`
		PermissionRequired *struct {
			Hashcash struct {
				Bits     int    `json:"bits"`
				Resource string `json:"resource"`
			} `json:"hashcash"`
		} `json:"permissionRequired"`
	}
	if json.Unmarshal(body, &said) != nil {
		return
	}
	if said.PermissionRequired != nil {
		w.asked = &permission{in.body, in.peer, said.PermissionRequired.Hashcash.Bits, said.PermissionRequired.Hashcash.Resource}
		return
	}
	if said.SessionID == "" {
		return
	}
	c := &client{id: said.SessionID, app: said.AppID, side: said.Side, epoch: said.Epoch, wanted: said.NextExpectedSeq, next: said.NextSentSeq}
	for i, had := range w.sessions {
		if had.id == c.id {
			w.sessions[i] = c
			return
		}
	}
	if len(w.sessions) < 8 {
		w.sessions = append(w.sessions, c)
		return
	}
	w.sessions[w.draw(8)] = c
}

func (w *world) received(in *input, body []byte) {
	var said struct {
		Frames []struct {
			Seq int64 `json:"seq"`
		} `json:"frames"`
	}
	if in.client == nil || json.Unmarshal(body, &said) != nil || len(said.Frames) == 0 {
		return
	}
	in.client.next = said.Frames[len(said.Frames)-1].Seq + 1
}

// forget mostly forgets a session that has ended.
func (w *world) forget(c *client) {
	for i, had := range w.sessions {
		if had == c && w.draw(4) > 0 {
			w.sessions = append(w.sessions[:i], w.sessions[i+1:]...)
			return
		}
	}
}
