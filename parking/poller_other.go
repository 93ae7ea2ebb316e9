//go:build !linux

package parking

import "errors"

// poller is not there.
type poller struct{}

func newPoller() (*poller, error) { return nil, errors.ErrUnsupported }

func (*poller) add(int32, uint32) error { return errors.ErrUnsupported }

func (*poller) run(func(int32, uint32)) error { return errors.ErrUnsupported }

func (*poller) close() {}
