//go:build !linux

package testgate

import (
	"io"
	"sync"
)

// taken are the names that tests of this process have: those of others are not known here.
var taken sync.Map

type name string

// Close implements io.Closer.
func (n name) Close() error {
	taken.Delete(string(n))
	return nil
}

// try takes a name, until it is closed. It returns nil if another test has it.
func try(of string) (io.Closer, error) {
	if _, has := taken.LoadOrStore(of, true); has {
		return nil, nil
	}
	return name(of), nil
}
