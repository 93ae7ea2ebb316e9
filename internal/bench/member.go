package bench

import (
	"encoding/json"
	"fmt"
)

// member makes the commands of a party with a session, over HTTP or a WebSocket.
type member struct {
	ask       func(method, path string, body []byte) (answer []byte, err error)
	mailbox   string
	nameplate string
}

// welcome is the answer to a handshake.
type welcome struct {
	SessionID string `json:"sessionId"`
	Epoch     int    `json:"epoch"`
}

// handshake begins a session.
func handshake(c *connection, app, side string) (w welcome, err error) {
	hello := fmt.Appendf(nil, `{"protocolVersion":"1","appId":%q,"side":%q,"clientVersion":["restante-bench","1"],"expectedSessionState":{"nextExpectedSeq":0,"nextSentSeq":0}}`, app, side)
	answer, err := c.do("POST", "/v1/sessions", "", hello)
	if err != nil {
		return w, err
	}
	err = json.Unmarshal(answer, &w)
	return w, err
}

// entered is the answer to allocate and to claim.
type entered struct {
	Nameplate string `json:"nameplate"`
	Mailbox   string `json:"mailbox"`
}

// enter allocates or claims.
func (m *member) enter(method, path string) error {
	answer, err := m.ask(method, path, nil)
	if err != nil {
		return err
	}
	var e entered
	err = json.Unmarshal(answer, &e)
	m.nameplate, m.mailbox = e.Nameplate, e.Mailbox
	return err
}

func (m *member) allocate() (string, error) {
	err := m.enter("POST", "/v1/nameplates")
	return m.nameplate, err
}

func (m *member) claim(nameplate string) error { return m.enter("PUT", "/v1/nameplates/"+nameplate) }

func (m *member) open(mailbox string) error {
	if mailbox != "" {
		m.mailbox = mailbox
	}
	_, err := m.ask("PUT", "/v1/mailboxes/"+m.mailbox, nil)
	return err
}

// post adds a message, and waits until the server has it.
func (m *member) post(phase, body string) ([]byte, error) {
	path, draft := m.draft(phase, body)
	return m.ask("POST", path, draft)
}

// draft is a message to add, and where.
func (m *member) draft(phase, body string) (path string, draft []byte) {
	return "/v1/mailboxes/" + m.mailbox + "/messages", fmt.Appendf(nil, `{"phase":%q,"body":%q}`, phase, body)
}

func (m *member) release() error {
	_, err := m.ask("DELETE", "/v1/nameplates/"+m.nameplate, nil)
	return err
}

func (m *member) leave() error {
	_, err := m.ask("DELETE", "/v1/mailboxes/"+m.mailbox+"?mood=happy", nil)
	return err
}

func (m *member) end() error {
	_, err := m.ask("DELETE", "/v1/session?mood=happy", nil)
	return err
}
