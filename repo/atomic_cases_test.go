package repo_test

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"restante/rendezvous"
	"restante/session"
)

// longTTL is a lifetime and a grace that do not end during a test.
const longTTL = 20 * time.Hour

// useCases are the use cases that promise to be one transaction.
var useCases = []useCase{
	{name: "allocate", setup: inOrder(begins("a"), begins("b"), takesAllDigitsBut("b", 5)), action: allocates("a")},
	{name: "claim, of a new nameplate", setup: begins("a"), action: claims("a", "42")},
	{name: "claim, of one that waits", withOther: true, setup: inOrder(begins("a"), begins("b"), claims("a", "42")), action: claims("b", "42")},
	{name: "claim, by a third side", setup: twoSidesMeet, action: claims("c", "42"), refusal: rendezvous.Crowded},
	{name: "claim, after a release", setup: inOrder(twoSidesMeet, releases("a")), action: claims("a", "42"), refusal: rendezvous.Reclaimed},
	{name: "claim, of a nameplate without a mailbox", setup: inOrder(twoSidesMeet, mailboxVanishes), action: claims("a", "42")},
	{name: "release, of the first side", setup: twoSidesMeet, action: releases("a")},
	{name: "release, of the last side", setup: inOrder(twoSidesMeet, releases("b")), action: releases("a")},
	{name: "open, of a new mailbox", setup: begins("a"), action: opens("a", "agreed")},
	{name: "open, of one with a log and a reader", setup: inOrder(twoSidesMeet, closes("b")), action: opens("b", "")},
	{name: "open, by a third side", setup: twoSidesMeet, action: opens("c", ""), refusal: rendezvous.Crowded},
	{name: "add", withOther: true, setup: twoSidesMeet, action: adds("a")},
	{name: "add, without an open mailbox", setup: twoSidesMeet, action: adds("c"), refusal: rendezvous.NotOpen},
	{name: "add, beyond its reader's window", setup: twoSidesMeet, action: adds("a"), config: func(c *rendezvous.Config) { c.Limits.WindowFrames = 1 }},
	{name: "close, of the first side", setup: twoSidesMeet, action: closes("a")},
	{name: "close, of the last side", withOther: true, setup: inOrder(twoSidesMeet, closes("b")), action: closes("a")},
	{name: "end, without a mood", setup: twoSidesMeet, action: ends("a", "")},
	{name: "end, in a mood", setup: inOrder(twoSidesMeet, closes("b"), opens("a", "agreed"), opens("b", "agreed")), action: ends("a", rendezvous.Errory)},
	{name: "begin", setup: twoSidesMeet, action: begins("d")},
	{name: "begin, instead of an expired session", setup: inOrder(beginsWithDefaultGrace("a"), claims("a", "42"), later(time.Hour)), action: replaces("a")},
	{name: "resume", setup: twoSidesMeet, action: resumes("b", 1)},
	{name: "replace", withOther: true, setup: twoSidesMeet, action: replaces("a")},
	// The nameplate goes stale later than its mailbox, so it is not pruned by itself.
	{name: "prune a mailbox", setup: inOrder(twoSidesMeet, later(5*time.Minute), adds("a"), later(8*time.Minute), prunes, later(4*time.Minute+30*time.Second)), action: prunes, prunes: true},
	{name: "prune a nameplate without a mailbox", setup: inOrder(twoSidesMeet, mailboxVanishes, later(12*time.Minute)), action: prunes, prunes: true},
	{name: "prune a session", setup: inOrder(beginsWithDefaultGrace("a"), begins("b"), claimsWithLongTTL("a", "42"), numbered(opens("a", "")), claims("b", "42"), opens("b", ""), adds("b"), later(time.Hour)), action: prunes, prunes: true},
	{name: "prune a tombstone", setup: inOrder(begins("a"), releases("a"), ends("a", ""), later(25*time.Hour)), action: prunes, prunes: true},
	{name: "prune the oldest of too many tombstones", setup: inOrder(begins("a"), releases("a"), ends("a", ""), later(time.Second), begins("b"), releases("b"), ends("b", "")), action: prunes, prunes: true, config: func(c *rendezvous.Config) { c.Limits.Sessions = 1 }},
}

// step is an action of a client, or an event.
type step func(*fixture) error

// twoSidesMeet puts two sides into the mailbox behind nameplate 42. Each has a message of the other; a third side has a session.
var twoSidesMeet = inOrder(begins("a"), begins("b"), begins("c"), claims("a", "42"), claims("b", "42"), opens("a", ""), opens("b", ""), adds("a"), adds("b"))

func inOrder(acts ...step) step {
	return func(s *fixture) error {
		for i, a := range acts {
			if err := a(s); err != nil {
				return fmt.Errorf("act %d: %w", i, err)
			}
		}
		return nil
	}
}

func id(name string) session.ID {
	id, err := session.ParseID(strings.Repeat(name, 22))
	must(err)
	return id
}

// command returns a session's first command, numbered if the fixture numbers commands.
func (s *fixture) command(of string) rendezvous.Command {
	c := rendezvous.Command{Session: id(of).Key()}
	if s.numbered {
		c.Seq = new(session.Seq(0))
	}
	return c
}

func numbered(a step) step {
	return func(s *fixture) error {
		s.numbered = true
		defer func() { s.numbered = false }()
		return a(s)
	}
}

func handshakes(h rendezvous.Handshake) step {
	return func(s *fixture) error {
		h := h
		h.App = "app"
		_, err := s.Handshake(s.ctx, h)
		return err
	}
}

func begins(name string) step {
	return handshakes(rendezvous.Handshake{ID: id(name), Side: rendezvous.Side(name), Address: "address", Grace: longTTL})
}

func beginsWithDefaultGrace(name string) step {
	return handshakes(rendezvous.Handshake{ID: id(name), Side: rendezvous.Side(name)})
}

func resumes(name string, expects session.Seq) step {
	return handshakes(rendezvous.Handshake{ID: id(name), Side: rendezvous.Side(name), NextExpected: expects})
}

func replaces(name string) step {
	return handshakes(rendezvous.Handshake{ID: id("z"), Side: rendezvous.Side(name), Replaces: new(id(name))})
}

func allocates(name string) step {
	return func(s *fixture) error {
		_, err := s.Allocate(s.ctx, s.command(name), 0)
		return err
	}
}

func takesAllDigitsBut(name string, free int) step {
	var acts []step
	for n := range 10 {
		if n > 0 && n != free {
			acts = append(acts, claims(name, rendezvous.NameplateID(fmt.Sprint(n))))
		}
	}
	return inOrder(acts...)
}

// claims claims a nameplate. The fixture remembers the first mailbox.
func claims(name string, n rendezvous.NameplateID) step { return claimsWithTTL(name, n, 0) }

func claimsWithLongTTL(name string, n rendezvous.NameplateID) step {
	return claimsWithTTL(name, n, longTTL)
}

func claimsWithTTL(name string, n rendezvous.NameplateID, ttl time.Duration) step {
	return func(s *fixture) error {
		a, err := s.Claim(s.ctx, s.command(name), n, ttl)
		if s.mailbox == "" {
			s.mailbox = a.Result.Mailbox
		}
		return err
	}
}

func releases(name string) step {
	return func(s *fixture) error {
		_, err := s.Release(s.ctx, s.command(name), "42")
		return err
	}
}

func opens(name string, m rendezvous.MailboxID) step {
	return func(s *fixture) error {
		m := m
		if m == "" {
			m = s.mailbox
		}
		_, err := s.Open(s.ctx, s.command(name), m, rendezvous.OpenRequest{})
		return err
	}
}

func adds(name string) step {
	return func(s *fixture) error {
		_, err := s.Add(s.ctx, s.command(name), s.mailbox, rendezvous.Draft{Phase: "p", Body: "body"})
		return err
	}
}

func closes(name string) step {
	return func(s *fixture) error {
		_, err := s.Close(s.ctx, s.command(name), s.mailbox, rendezvous.Scary)
		return err
	}
}

func ends(name string, mood rendezvous.Mood) step {
	return func(s *fixture) error {
		var in *rendezvous.Mood
		if mood != "" {
			in = &mood
		}
		_, err := s.End(s.ctx, s.command(name), in)
		return err
	}
}

func later(d time.Duration) step {
	return func(s *fixture) error {
		s.now = s.now.Add(d)
		return nil
	}
}

func mailboxVanishes(s *fixture) error {
	s.exec("DELETE FROM mailboxes")
	return nil
}

func prunes(s *fixture) error {
	if run := s.Prune(s.ctx); run.Failed > 0 || run.Skipped {
		return errors.New("not everything was pruned")
	}
	return nil
}
