package rules

import (
	"net/netip"
	"path"
	"slices"
	"strings"
	"time"
)

// Rules are the rules of one file, in its order. Nil stands for none. They do not change.
type Rules struct{ list []rule }

// Len returns how many rules there are.
func (r *Rules) Len() int {
	if r == nil {
		return 0
	}
	return len(r.list)
}

// Client is what is known of a client.
type Client struct {
	Address   netip.Addr // invalid for a Unix socket
	AddressID string     // what stands for the address
	App       string
	Version   string // implementation/version; "" if the client does not say
}

// Verdict is what the rules say of a client.
type Verdict struct {
	Refuse    string        // why it is refused; "" if it is not
	ByVersion bool          // it is refused for its version
	Delay     time.Duration // how long it waits first
	Message   string        // what it is told, in lines; "" for nothing
}

// rule is one rule. A client meets it that meets all of its conditions; an empty condition is met by every client.
type rule struct {
	addressed bool // it has a condition about addresses, perhaps an empty file
	prefixes  []netip.Prefix
	ids       map[string]bool
	apps      []string // patterns
	versions  []string // patterns

	allow   bool
	refuse  string
	message string
	delay   time.Duration
}

// aboutClients reports whether the rule needs more than an address.
func (r *rule) aboutClients() bool { return len(r.apps) > 0 || len(r.versions) > 0 }

// OfAddress returns what the rules say of whatever comes from an address. Rules about apps and versions do not count.
func (r *Rules) OfAddress(address netip.Addr, id string) Verdict {
	return r.judge(func(one *rule) bool { return !one.aboutClients() && one.meetsAddress(address, id) }, func(*rule) bool { return true })
}

// OfClient returns what all rules say of a client. The delays of rules about addresses alone do not count: those are for
// all that comes from there.
func (r *Rules) OfClient(c Client) Verdict {
	return r.judge(func(one *rule) bool {
		return one.meetsAddress(c.Address, c.AddressID) && meetsPattern(one.apps, c.App) && meetsPattern(one.versions, c.Version)
	}, (*rule).aboutClients)
}

// judge adds up what the rules say that are met, to the first that allows or refuses.
func (r *Rules) judge(met, delays func(*rule) bool) (v Verdict) {
	if r == nil {
		return v
	}
	var messages []string
	for i := range r.list {
		one := &r.list[i]
		if !met(one) {
			continue
		}
		if one.allow {
			break
		}
		if one.refuse != "" {
			v.Refuse, v.ByVersion = one.refuse, len(one.versions) > 0
			break
		}
		if one.message != "" {
			messages = append(messages, one.message)
		}
		if delays(one) {
			v.Delay = max(v.Delay, one.delay)
		}
	}
	v.Message = strings.Join(messages, "\n")
	return v
}

// meetsAddress reports whether an address meets the rule. The id of an IPv6 address begins with that of its network of 48
// bits, which meets a rule, too.
func (r *rule) meetsAddress(address netip.Addr, id string) bool {
	if !r.addressed {
		return true
	}
	if wide := strings.LastIndexByte(id, '-'); r.ids[id] || wide > 0 && r.ids[id[:wide]] {
		return true
	}
	address = address.Unmap()
	return address.IsValid() && slices.ContainsFunc(r.prefixes, func(p netip.Prefix) bool { return p.Contains(address) })
}

// meetsPattern reports whether a text meets one of the patterns, or there is none.
func meetsPattern(patterns []string, text string) bool {
	return len(patterns) == 0 || slices.ContainsFunc(patterns, func(p string) bool { return Match(p, text) })
}

// Match reports whether a text meets a pattern, of an app or of a client version. * stands for any characters, / among them.
func Match(pattern, text string) bool {
	met, _ := path.Match(flatten(pattern), flatten(text))
	return met
}

// flatten replaces what path.Match treats as a separator.
func flatten(text string) string { return strings.ReplaceAll(text, "/", "\x00") }
