// Package web is what a browser is served. It owns the page at /, built ahead
// and embedded; it must not know about anything else of ours.
package web

import _ "embed"

// Home is the page at /.
//
//go:embed index.html
var Home []byte
