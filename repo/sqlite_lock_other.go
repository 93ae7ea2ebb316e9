//go:build !unix

package repo

// lock does nothing where there is no flock: there, it is for the operator to
// start one server only.
func lock(string) (release func() error, err error) {
	return func() error { return nil }, nil
}
