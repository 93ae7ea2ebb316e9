package handlerstest

import (
	"bytes"
	"compress/gzip"
	"io"
	"io/fs"
	"testing"
	"testing/fstest"
)

// packed returns pages as a server has them, with blank ones where there are none.
func packed(t testing.TB, pages map[string]string) fs.FS {
	t.Helper()
	files := fstest.MapFS{}
	pack := func(name, text string) {
		var file bytes.Buffer
		w := gzip.NewWriter(&file)
		if _, err := io.WriteString(w, text); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		files["dist/"+name+".gz"] = &fstest.MapFile{Data: file.Bytes()}
	}
	pack("index.html", "<!doctype html>\n")
	pack("docs.html", "<!doctype html>\n")
	for name, text := range pages {
		pack(name, text)
	}
	inside, err := fs.Sub(files, "dist") // as the server's are below a folder, too
	if err != nil {
		t.Fatal(err)
	}
	return inside
}
