//go:build !linux

package idleconn

import "errors"

// poller is for Linux only.
type poller struct{}

func newPoller() (*poller, error) { return nil, errors.ErrUnsupported }

func (*poller) add(int32, uint32) error { return errors.ErrUnsupported }

func (*poller) run(func(int32, uint32)) error { return errors.ErrUnsupported }

func (*poller) close() {}

func atEnd(uintptr) bool { return false }
