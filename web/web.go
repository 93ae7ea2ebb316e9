// Package web is what browsers are served. It owns the pages, built ahead and embedded,
// and the client that they use; it must not know about anything else of ours.
package web

import (
	"embed"
	"io/fs"
)

//go:embed dist
var dist embed.FS

// Pages are the files of the pages: what page/build.mjs makes, each compressed with gzip.
var Pages = sub(dist, "dist")

func sub(files fs.FS, dir string) fs.FS {
	inside, err := fs.Sub(files, dir)
	if err != nil {
		panic(err) // dir is no valid path
	}
	return inside
}
