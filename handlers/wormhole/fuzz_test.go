package wormhole_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/gorilla/websocket"

	"restante/handlers/handlerstest"
	"restante/internal/testclient"
	"restante/rendezvous"
)

// FuzzWormholeFrame sends a client's connection whatever there is. It is told
// something that clients know, or nothing, and goes on.
func FuzzWormholeFrame(f *testing.F) {
	for _, o := range append(append(hostileAnywhere(), hostileBefore()...), hostileAfter()...) {
		if len(o.frame) < 1<<10 {
			f.Add([]byte(o.frame), false)
		}
	}
	for _, frame := range []string{
		`{"type":"bind","appid":"a","side":"b","client_version":["python","0.12.0"]}`, `{"type":"list"}`, `{"type":"allocate"}`,
		`{"type":"claim","nameplate":"7"}`, `{"type":"release"}`, `{"type":"open","mailbox":"m"}`, `{"type":"add","phase":"pake","body":"7b7d","id":"0001"}`,
		`{"type":"close","mailbox":"m","mood":"happy"}`, `{"type":"ping","ping":1}`, `{"type":"submit-permissions","method":"hashcash","stamp":"1:0:x"}`,
	} {
		f.Add([]byte(frame), true)
	}
	r := handlerstest.Start(f, handlerstest.Options{})
	var sides atomic.Int64
	f.Fuzz(func(t *testing.T, frame []byte, bound bool) {
		if len(frame) > 200<<10 {
			return // what costs the connection is tested where limits are
		}
		c := r.Connect(t)
		c.Ended = true // whatever it may have opened, it need not be quiet
		if bound {
			c.Send("bind", "appid", "fuzz", "side", fmt.Sprint(sides.Add(1)))
		}
		c.Write(websocket.BinaryMessage, string(frame))
		c.Write(websocket.TextMessage, `{"type":"ping","ping":"still there"}`)
		for acks := 0; ; {
			switch s := c.Next(); s.Kind { // which must be in the vocabulary
			case "ack":
				acks++
			case "pong":
				if string(s.Members["pong"]) == `"still there"` {
					if acks < 1 || acks > 2 {
						t.Errorf("%d acks", acks)
					}
					return
				}
			case "error":
				if len(s.Raw) > 32<<10 {
					t.Errorf("an error of %d bytes", len(s.Raw))
				}
			}
		}
	})
}

// FuzzWormholeCommands has clients of two apps do whatever they like, and compares
// what each is told with what the model says.
func FuzzWormholeCommands(f *testing.F) {
	luck := rand.New(rand.NewPCG(1, 2))
	for range 30 {
		script := make([]byte, 20+luck.IntN(100))
		for i := range script {
			script[i] = byte(luck.Uint32())
		}
		f.Add(script)
	}
	// A side that did not keep its mailbox's limit in mind would be told otherwise.
	r := handlerstest.Start(f, handlerstest.Options{Config: func(c *rendezvous.Config) { c.Limits.Nameplates, c.Limits.Mailboxes = 1000, 1000 }})
	var apps atomic.Int64
	f.Fuzz(func(t *testing.T, script []byte) {
		play(t, r, fmt.Sprint("fuzz ", apps.Add(1)), script[:min(len(script), 400)])
	})
}

// fuzzClient is a client, and what the model says of it.
type fuzzClient struct {
	*testclient.Wormhole
	*modelClient
	app   string
	heard []string
}

// play makes four clients follow a script. The last is of another app, and uses the side of the first.
func play(t *testing.T, r *handlerstest.Server, app string, script []byte) {
	first, second := &model{map[string]*modelNameplate{}, map[string]*modelMailbox{}}, &model{map[string]*modelNameplate{}, map[string]*modelMailbox{}}
	clients := make([]*fuzzClient, 4)
	models := make([]*modelClient, len(clients))
	board := func(i int) {
		s := &fuzzClient{app: app, modelClient: &modelClient{at: first, side: string(rune('a' + i))}}
		if i == 3 {
			s.app, s.modelClient.at, s.modelClient.side = app+" too", second, "a"
		}
		s.Wormhole = r.Bind(t, s.app, s.modelClient.side)
		clients[i], models[i] = s, s.modelClient
	}
	for i := range clients {
		board(i)
	}
	for ; len(script) > 1; script = script[2:] {
		i, what, which := int(script[0])%len(clients), int(script[0])/len(clients)%9, script[1]
		if what == 8 {
			clients[i].finish(t)
			board(i)
			continue
		}
		clients[i].command(t, what, which, models)
	}
	for _, s := range clients {
		s.finish(t)
	}
}

// finish is sure that it has heard everything, and drops the connection.
func (s *fuzzClient) finish(t *testing.T) {
	t.Helper()
	for len(s.heard) < len(s.due) {
		s.note(s.Next())
	}
	s.Write(websocket.TextMessage, `{"type":"ping","ping":"over"}`)
	for m := s.Next(); m.Kind != "pong"; m = s.Next() {
		s.note(m)
	}
	if got, want := fmt.Sprint(s.heard), fmt.Sprint(s.due); got != want {
		t.Fatalf("%s heard %s, want %s", s.side, got, want)
	}
	s.Drop()
}

// note notes a message.
func (s *fuzzClient) note(m testclient.Message) {
	if m.Kind == "message" {
		s.heard = append(s.heard, m.Text("side")+": "+m.Text("body"))
	}
}

// command has it say one thing, and compares the answer with the model's.
func (s *fuzzClient) command(t *testing.T, what int, which byte, all []*modelClient) {
	t.Helper()
	plateID, boxID := []string{"1001", "1002"}[which%2], []string{"m", "n"}[which%2]
	if which%4 > 1 && s.plate != "" && s.at.plates[s.plate] != nil {
		boxID = s.at.plates[s.plate].box.id // as clients do
	}
	want := "ack"
	complain := func(text string) { want = "ack, error " + text }
	var command string
	var learn func(testclient.Message) // what the model cannot foresee
	switch what {
	case 0:
		command, want = `{"type":"list"}`, "ack, nameplates "+strings.Join(s.at.waiting(), " ")
	case 1:
		command = `{"type":"allocate"}`
		if s.allocated {
			complain("you already allocated one, don't be greedy")
			break
		}
		s.allocated, want = true, "ack, allocated"
		waits := slices.DeleteFunc(s.at.waiting(), func(id string) bool { return s.at.plates[id].claimed[0] != s.side })
		learn = func(m testclient.Message) {
			id := m.Text("nameplate")
			if len(waits) > 0 && !slices.Contains(waits, id) {
				t.Fatalf("%s was allocated %s, though it had %v", s.side, id, waits)
			}
			if p := s.at.plates[id]; p != nil && (len(p.claimed) != 1 || p.claimed[0] != s.side) {
				t.Fatalf("%s was allocated nameplate %s, which %v have", s.side, id, p.claimed)
			}
			s.at.claim(s.side, id, m.Text("mailbox"))
		}
	case 2:
		command = `{"type":"claim","nameplate":"` + plateID + `"}`
		if s.claimed {
			complain("only one claim per connection")
			break
		}
		s.claimed, s.plate = true, plateID
		made := s.at.plates[plateID] == nil
		if b, complaint := s.at.claim(s.side, plateID, "made"); complaint != "" {
			complain(complaint)
		} else if want = "ack, claimed " + b.id; made {
			want = "ack, claimed"
			learn = func(m testclient.Message) {
				delete(s.at.boxes, b.id)
				b.id = m.Text("mailbox")
				s.at.boxes[b.id] = b
			}
		}
	case 3:
		command = `{"type":"release"}`
		switch {
		case s.released:
			complain("only one release per connection")
		case s.plate == "":
			complain("release without nameplate must follow claim")
		default:
			s.at.release(s.side, s.plate)
			s.released, want = true, "ack, released"
		}
	case 4:
		command = `{"type":"open","mailbox":"` + boxID + `"}`
		if complaint := s.open(boxID); complaint != "" {
			complain(complaint)
		}
	case 5, 6:
		command = fmt.Sprintf(`{"type":"add","phase":"p","body":"%d"}`, which)
		if complaint := s.modelClient.add(all, fmt.Sprint(which)); complaint != "" {
			complain(complaint)
		}
	case 7:
		command = `{"type":"close","mood":"happy"}`
		switch {
		case s.closed:
			complain("only one close per connection")
		case s.box == "":
			complain("close without mailbox must follow open")
		default:
			s.at.close(s.side, s.box)
			s.closed, s.box, s.follows, want = true, "", nil, "ack, closed"
		}
	}
	s.Write(websocket.TextMessage, command)
	s.Write(websocket.TextMessage, `{"type":"ping","ping":"next"}`)
	var got []string
	for m := s.Next(); m.Kind != "pong"; m = s.Next() {
		switch m.Kind {
		case "ack":
			got = append(got, "ack")
		case "error":
			got = append(got, "error "+m.Text("error"))
		case "nameplates":
			var list []struct{ ID string }
			_ = json.Unmarshal(m.Members["nameplates"], &list) // the vocabulary says what it is
			ids := make([]string, len(list))
			for i := range list {
				ids[i] = list[i].ID
			}
			got = append(got, "nameplates "+strings.Join(ids, " "))
		case "message":
			s.note(m)
		case "claimed":
			if learn == nil {
				got = append(got, "claimed "+m.Text("mailbox"))
				continue
			}
			fallthrough
		default:
			got = append(got, m.Kind)
			if learn != nil {
				learn(m)
			}
		}
	}
	if got := strings.TrimSuffix(strings.Join(got, ", "), ", ack"); got != want { // of the ping
		t.Fatalf("%s says %s\n%q, want\n%q", s.side, command, got, want)
	}
}
