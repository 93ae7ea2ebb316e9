package repo_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"restante/rendezvous"
	"restante/repo"
	"restante/session"
)

// ages are a life and a grace that do not end here.
const ages = 20 * time.Hour

// useCases are those that promise to be one transaction.
var useCases = []useCase{
	{name: "allocate", given: all(begins("a"), begins("b"), takesAllNumbersBut("b", 5)), when: allocates("a")},
	{name: "claim, of a new nameplate", given: begins("a"), when: claims("a", "42")},
	{name: "claim, of one that waits", company: true, given: all(begins("a"), begins("b"), claims("a", "42")), when: claims("b", "42")},
	{name: "claim, by a third side", given: meet, when: claims("c", "42"), refusal: rendezvous.Crowded},
	{name: "claim, by who has released", given: all(meet, releases("a")), when: claims("a", "42"), refusal: rendezvous.Reclaimed},
	{name: "claim, of one that leads nowhere", given: all(meet, mailboxVanishes), when: claims("a", "42")},
	{name: "release, of the first side", given: meet, when: releases("a")},
	{name: "release, of the last side", given: all(meet, releases("b")), when: releases("a")},
	{name: "open, of a new mailbox", given: begins("a"), when: opens("a", "agreed")},
	{name: "open, of one with a log and a reader", given: all(meet, closes("b")), when: opens("b", "")},
	{name: "open, by a third side", given: meet, when: opens("c", ""), refusal: rendezvous.Crowded},
	{name: "add", company: true, given: meet, when: adds("a")},
	{name: "add, by who has not opened", given: meet, when: adds("c"), refusal: rendezvous.NotOpen},
	{name: "add, of what is too much for its reader", given: meet, when: adds("a"), config: func(c *rendezvous.Config) { c.Limits.WindowFrames = 1 }},
	{name: "close, of the first side", given: meet, when: closes("a")},
	{name: "close, of the last side", company: true, given: all(meet, closes("b")), when: closes("a")},
	{name: "end, without a mood", given: meet, when: ends("a", "")},
	{name: "end, in a mood", given: all(meet, closes("b"), opens("a", "agreed"), opens("b", "agreed")), when: ends("a", rendezvous.Errory)},
	{name: "begin", given: meet, when: begins("d")},
	{name: "begin, in the place of what expired", given: all(beginsForShort("a"), claims("a", "42"), later(time.Hour)), when: replaces("a")},
	{name: "resume", given: meet, when: resumes("b", 1)},
	{name: "replace", company: true, given: meet, when: replaces("a")},
	// The nameplate was put off until later than its mailbox: it is not looked at by itself.
	{name: "prune a mailbox", given: all(meet, later(5*time.Minute), adds("a"), later(8*time.Minute), prunes, later(4*time.Minute+30*time.Second)), when: prunes, prunes: true},
	{name: "prune a nameplate that leads nowhere", given: all(meet, mailboxVanishes, later(12*time.Minute)), when: prunes, prunes: true},
	{name: "prune a session", given: all(beginsForShort("a"), begins("b"), claimsForAges("a", "42"), numbered(opens("a", "")), claims("b", "42"), opens("b", ""), adds("b"), later(time.Hour)), when: prunes, prunes: true},
	{name: "prune a tombstone", given: all(begins("a"), releases("a"), ends("a", ""), later(25*time.Hour)), when: prunes, prunes: true},
	{name: "prune the oldest of too many tombstones", given: all(begins("a"), releases("a"), ends("a", ""), later(time.Second), begins("b"), releases("b"), ends("b", "")), when: prunes, prunes: true, config: func(c *rendezvous.Config) { c.Limits.Sessions = 1 }},
}

// act is what somebody does, or what happens.
type act func(*stage) error

// meet has two sides in the mailbox behind nameplate 42, who read what the other has added, and a third one nearby.
var meet = all(begins("a"), begins("b"), begins("c"), claims("a", "42"), claims("b", "42"), opens("a", ""), opens("b", ""), adds("a"), adds("b"))

func all(acts ...act) act {
	return func(s *stage) error {
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

// command is a session's first numbered one, if commands are numbered.
func (s *stage) command(of string) rendezvous.Command {
	c := rendezvous.Command{Session: id(of).Key()}
	if s.numbered {
		c.Seq = new(session.Seq(0))
	}
	return c
}

func numbered(a act) act {
	return func(s *stage) error {
		s.numbered = true
		defer func() { s.numbered = false }()
		return a(s)
	}
}

func shakes(h rendezvous.Handshake) act {
	return func(s *stage) error {
		h := h
		h.App = "app"
		_, err := s.Handshake(context.Background(), h)
		return err
	}
}

func begins(name string) act {
	return shakes(rendezvous.Handshake{ID: id(name), Side: rendezvous.Side(name), Grace: ages})
}

func beginsForShort(name string) act {
	return shakes(rendezvous.Handshake{ID: id(name), Side: rendezvous.Side(name)})
}

func resumes(name string, expects session.Seq) act {
	return shakes(rendezvous.Handshake{ID: id(name), Side: rendezvous.Side(name), NextExpected: expects})
}

func replaces(name string) act {
	return shakes(rendezvous.Handshake{ID: id("z"), Side: rendezvous.Side(name), Replaces: new(id(name))})
}

func allocates(name string) act {
	return func(s *stage) error {
		_, err := s.Allocate(context.Background(), s.command(name), 0)
		return err
	}
}

func takesAllNumbersBut(name string, free int) act {
	var acts []act
	for n := range 10 {
		if n > 0 && n != free {
			acts = append(acts, claims(name, rendezvous.NameplateID(fmt.Sprint(n))))
		}
	}
	return all(acts...)
}

// claims has the mailbox be the one that is spoken of, if it is the first.
func claims(name string, n rendezvous.NameplateID) act { return claimsFor(name, n, 0) }

func claimsForAges(name string, n rendezvous.NameplateID) act { return claimsFor(name, n, ages) }

func claimsFor(name string, n rendezvous.NameplateID, ttl time.Duration) act {
	return func(s *stage) error {
		a, err := s.Claim(context.Background(), s.command(name), n, ttl)
		if s.mailbox == "" {
			s.mailbox = a.Result.Mailbox
		}
		return err
	}
}

func releases(name string) act {
	return func(s *stage) error {
		_, err := s.Release(context.Background(), s.command(name), "42")
		return err
	}
}

func opens(name string, m rendezvous.MailboxID) act {
	return func(s *stage) error {
		m := m
		if m == "" {
			m = s.mailbox
		}
		_, err := s.Open(context.Background(), s.command(name), m, 0, 0)
		return err
	}
}

func adds(name string) act {
	return func(s *stage) error {
		_, err := s.Add(context.Background(), s.command(name), s.mailbox, rendezvous.Draft{Phase: "p", Body: "body"})
		return err
	}
}

func closes(name string) act {
	return func(s *stage) error {
		_, err := s.Close(context.Background(), s.command(name), s.mailbox, rendezvous.Scary)
		return err
	}
}

func ends(name string, mood rendezvous.Mood) act {
	return func(s *stage) error {
		var in *rendezvous.Mood
		if mood != "" {
			in = &mood
		}
		_, err := s.End(context.Background(), s.command(name), in)
		return err
	}
}

func later(d time.Duration) act {
	return func(s *stage) error {
		s.now = s.now.Add(d)
		return nil
	}
}

func mailboxVanishes(s *stage) error {
	repo.RawExec(s.t, s.db, "DELETE FROM mailboxes")
	return nil
}

func prunes(s *stage) error {
	if run := s.Prune(context.Background()); run.Failed > 0 || run.Skipped {
		return errors.New("not everything was pruned")
	}
	return nil
}
