package rules

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

const (
	maxDelay = 30 * time.Second // while a client waits, it holds a connection and a goroutine
	maxText  = 500              // bytes
)

// Read reads a file of rules, and the files that it names. The error tells all that is wrong, each with its line.
func Read(file string) (*Rules, error) {
	text, err := os.ReadFile(file) // #nosec G304 -- the operator names it
	if err != nil {
		return nil, err
	}
	return parse(file, text)
}

func parse(file string, text []byte) (*Rules, error) {
	p := &parser{file: file}
	var root, next yaml.Node
	documents := yaml.NewDecoder(bytes.NewReader(text))
	rules := &Rules{}
	switch err := documents.Decode(&root); {
	case errors.Is(err, io.EOF):
		return rules, nil
	case err != nil:
		return nil, fmt.Errorf("%s: %w", file, err) // which has the line
	}
	switch err := documents.Decode(&next); {
	case err == nil:
		p.fail(&next, "a second document begins here ('---'); all rules are one list")
		return nil, errors.Join(p.errs...)
	case !errors.Is(err, io.EOF):
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	top := root.Content[0]
	if top.Kind != yaml.SequenceNode {
		p.fail(top, "the rules must be a list: each begins with '- '")
		return nil, errors.Join(p.errs...)
	}
	for _, node := range top.Content {
		rules.list = append(rules.list, p.rule(node))
	}
	if len(p.errs) > 0 {
		return nil, errors.Join(p.errs...)
	}
	return rules, nil
}

// parser gathers what is wrong.
type parser struct {
	file string
	errs []error
}

func (p *parser) fail(at *yaml.Node, format string, args ...any) {
	p.errs = append(p.errs, fmt.Errorf("%s:%d: %s", p.file, at.Line, fmt.Sprintf(format, args...)))
}

// members are what a rule may have, and how each is read.
var members = map[string]func(p *parser, r *rule, value *yaml.Node){
	"address":      (*parser).addresses,
	"address-file": (*parser).addressFile,
	"app":          func(p *parser, r *rule, v *yaml.Node) { r.apps = p.patterns(v) },
	"client":       func(p *parser, r *rule, v *yaml.Node) { r.versions = p.patterns(v) },
	"refuse":       func(p *parser, r *rule, v *yaml.Node) { r.refuse = p.text(v) },
	"message":      func(p *parser, r *rule, v *yaml.Node) { r.message = p.text(v) },
	"delay":        (*parser).delay,
	"allow":        (*parser).allow,
}

// known lists the members, for people.
const known = "address, address-file, app, client, allow, refuse, delay, message"

func (p *parser) rule(node *yaml.Node) (r rule) {
	if node.Kind != yaml.MappingNode {
		p.fail(node, "a rule must have members: %s", known)
		return r
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(node.Content); i += 2 {
		name, value := node.Content[i], node.Content[i+1]
		read, is := members[name.Value]
		switch {
		case !is:
			p.fail(name, "%q is not known; a rule may have: %s", name.Value, known)
		case seen[name.Value]:
			p.fail(name, "%q is given twice", name.Value)
		default:
			read(p, &r, value)
		}
		seen[name.Value] = true
	}
	switch says := seen["refuse"] || seen["message"] || seen["delay"]; {
	case !says && !seen["allow"]:
		p.fail(node, "the rule does nothing: it needs allow, refuse, delay or message")
	case says && seen["allow"]:
		p.fail(node, "the rule allows a client, and so can do nothing else")
	case seen["refuse"] && (seen["delay"] || seen["message"]):
		p.fail(node, "the rule refuses a client, and so can do nothing else; 'refuse' is what the client is told")
	}
	return r
}

// values returns the texts of a node: one, or a list of them.
func (p *parser) values(node *yaml.Node) []*yaml.Node {
	list := []*yaml.Node{node}
	if node.Kind == yaml.SequenceNode {
		list = node.Content
	}
	if len(list) == 0 {
		p.fail(node, "the list is empty, so no client can meet the rule")
	}
	return slices.DeleteFunc(list, func(one *yaml.Node) bool {
		bad := one.Kind != yaml.ScalarNode || one.Value == "" || one.Tag == "!!null"
		if bad {
			p.fail(one, "it must be a text, or a list of texts")
		}
		return bad
	})
}

func (p *parser) text(node *yaml.Node) string {
	switch text := strings.TrimSpace(node.Value); {
	case node.Kind != yaml.ScalarNode || text == "" || node.Tag == "!!null":
		p.fail(node, "it must be a text, which the client is told")
	case len(text) > maxText:
		p.fail(node, "the text has %d bytes; it may have %d", len(text), maxText)
	default:
		return text
	}
	return ""
}

func (p *parser) patterns(node *yaml.Node) (list []string) {
	for _, one := range p.values(node) {
		if _, err := path.Match(one.Value, ""); err != nil {
			p.fail(one, "%q is not a pattern: * and ? stand for characters, and [ begins a set of them", one.Value)
			continue
		}
		list = append(list, one.Value)
	}
	return list
}

func (p *parser) addresses(r *rule, node *yaml.Node) {
	r.addressed = true
	for _, one := range p.values(node) {
		if err := r.addAddress(one.Value); err != nil {
			p.fail(one, "%v", err)
		}
	}
}

// addressFile reads addresses from a file beside that of the rules: one a line, and # begins a comment.
func (p *parser) addressFile(r *rule, node *yaml.Node) {
	r.addressed = true
	for _, one := range p.values(node) {
		name := one.Value
		if !filepath.IsAbs(name) {
			name = filepath.Join(filepath.Dir(p.file), name)
		}
		text, err := os.ReadFile(name) // #nosec G304 -- the operator names it
		if err != nil {
			p.fail(one, "%v", err)
			continue
		}
		text = bytes.TrimPrefix(text, []byte("\ufeff")) // a byte order mark, which some editors write
		for i, line := range strings.Split(string(text), "\n") {
			line, _, _ = strings.Cut(line, "#")
			if line = strings.TrimSpace(line); line == "" {
				continue
			}
			if err := r.addAddress(line); err != nil {
				p.errs = append(p.errs, fmt.Errorf("%s:%d: %w", name, i+1, err))
			}
		}
	}
}

// addressID matches what stands for an address, or for the network of 48 bits around it.
var addressID = regexp.MustCompile(`^addr-([a-z2-7]{10}(-[a-z2-7]{10})?|local)$`)

// addAddress adds a condition: an address, a range of them, or what stands for an address.
func (r *rule) addAddress(text string) error {
	if addressID.MatchString(text) {
		if r.ids == nil {
			r.ids = map[string]bool{}
		}
		r.ids[text] = true
		return nil
	}
	prefix, err := ParseRange(text)
	if err != nil {
		return fmt.Errorf("%q is no address (192.0.2.7), range (192.0.2.0/24) or id of an address (addr-…)", text)
	}
	if prefix.Addr() != prefix.Masked().Addr() {
		return fmt.Errorf("%q has bits beyond its length; is %v meant?", text, prefix.Masked())
	}
	r.prefixes = append(r.prefixes, prefix)
	return nil
}

// mappedBits is how many bits of an IPv6 address say that it stands for one of IPv4.
const mappedBits = 96

// ParseRange parses a range of addresses; an address alone is a range of one. IPv4 that is written as IPv6
// (::ffff:192.0.2.0/120) is IPv4, as it is in what it is compared with.
func ParseRange(text string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(text); err == nil && a.Zone() == "" {
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	prefix, err := netip.ParsePrefix(text)
	if err == nil && prefix.Addr().Is4In6() && prefix.Bits() >= mappedBits {
		prefix = netip.PrefixFrom(prefix.Addr().Unmap(), prefix.Bits()-mappedBits)
	}
	return prefix, err
}

func (p *parser) delay(r *rule, node *yaml.Node) {
	d, err := time.ParseDuration(node.Value)
	if err != nil || d < time.Millisecond || d > maxDelay {
		p.fail(node, "a delay is a time from 1ms to %v, as in 'delay: 2s'", maxDelay)
		return
	}
	r.delay = d
}

func (p *parser) allow(r *rule, node *yaml.Node) {
	if node.Value != "true" {
		p.fail(node, "write 'allow: true'")
		return
	}
	r.allow = true
}
