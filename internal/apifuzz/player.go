package apifuzz

import (
	"encoding/binary"
	"hash/fnv"
	"log/slog"
	"math/rand/v2"
	"testing"

	"restante/handlers/handlerstest"
	"restante/rendezvous"
)

// perPlay is how many requests follow each other.
const perPlay = 20

// Player starts a server on SQLite, in real time, and returns a function that sends it requests. Bytes make the choices:
// each eight of them one, and when they are used up a generator that they seed. It returns a [Violation].
func Player(t testing.TB) (func(choices []byte) error, error) {
	t.Helper()
	c, err := load()
	if err != nil {
		return nil, err
	}
	server := handlerstest.Start(t, handlerstest.Options{
		Admin: true, Level: slog.LevelError + 1,
		Wrap:   func(file rendezvous.Store) rendezvous.Store { return counted{file} },
		Config: func(c *rendezvous.Config) { c.Limits.AddressSessions = 1 << 30 },
	})
	r := &round{contract: c, admin: true}
	return func(choices []byte) error {
		one := *r
		one.report = &Report{Statuses: map[int]int64{}, Answers: map[string]int64{}}
		one.limit, one.rng = perPlay, rand.New(newChoices(choices)) // #nosec G404 -- choices of a test
		one.ask(server, false)
		if one.violation != nil {
			return one.violation
		}
		return nil
	}, nil
}

// choices is a source of numbers that bytes make.
type choices struct {
	bytes []byte
	then  *rand.PCG
}

func newChoices(b []byte) *choices {
	h := fnv.New64a()
	_, _ = h.Write(b)
	return &choices{b, rand.NewPCG(h.Sum64(), 1)}
}

// Uint64 implements [rand.Source].
func (c *choices) Uint64() uint64 {
	if len(c.bytes) < 8 {
		return c.then.Uint64()
	}
	n := binary.BigEndian.Uint64(c.bytes)
	c.bytes = c.bytes[8:]
	return n
}
