package handlers

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"path"
	"strings"

	"github.com/go-chi/chi/v5"
)

// policy is what a page may do: run and show files of this server, send requests to it, and nothing else.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// permissions is what a page may ask the browser for: only to put a code on the clipboard.
const permissions = "accelerometer=(), autoplay=(), camera=(), display-capture=(), encrypted-media=(), fullscreen=(), geolocation=(), gyroscope=(), " +
	"hid=(), magnetometer=(), microphone=(), midi=(), payment=(), publickey-credentials-get=(), screen-wake-lock=(), serial=(), usb=(), " +
	"xr-spatial-tracking=(), clipboard-write=(self)"

// mediaTypes are the media types of the files of the pages.
var mediaTypes = map[string]string{
	".html": "text/html; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".svg":  "image/svg+xml",
	".txt":  "text/plain; charset=utf-8",
}

// getHome is GET /: the page for people. Health checks made for the reference wormhole server do not accept HTML, and
// get the text with which that server answers.
func (s *Server) getHome(w http.ResponseWriter, r *http.Request) {
	w.Header().Add("Vary", "Accept")
	if !names(r.Header.Values("Accept"), "text/html") {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Cache-Control", "no-cache")
		_, _ = w.Write([]byte("Wormhole Relay\n")) // a client that left does not read it
		return
	}
	s.page(w, r)
}

// page answers with the page at /.
func (s *Server) page(w http.ResponseWriter, r *http.Request) { s.file(w, r, "index.html") }

// getReference is GET /docs.
func (s *Server) getReference(w http.ResponseWriter, r *http.Request) { s.file(w, r, "docs.html") }

// getAsset is GET /assets/{name}.
func (s *Server) getAsset(w http.ResponseWriter, r *http.Request) {
	name := chi.URLParam(r, "name")
	if r.URL.RawPath != "" { // which chi routes by, as it came
		name, _ = url.PathUnescape(name) // net/http has read it already
	}
	s.file(w, r, "assets/"+name)
}

// file answers with a file of the pages, compressed if the client accepts that. Browsers revalidate it each time, so
// that a page and its script have the same version.
func (s *Server) file(w http.ResponseWriter, r *http.Request, name string) {
	packed, err := fs.ReadFile(s.Pages, name+".gz")
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrInvalid) {
		s.notFound(w, r)
		return
	}
	var body io.Reader = bytes.NewReader(packed)
	compressed := takesGzip(r)
	if err == nil && !compressed {
		body, err = gzip.NewReader(body)
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	sum := sha256.Sum256(packed)
	tag := `W/"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"` // weak, as it stands for both encodings
	h := w.Header()
	h.Set("ETag", tag)
	h.Set("Cache-Control", "no-cache")
	h.Add("Vary", "Accept-Encoding")
	if strings.Contains(r.Header.Get("If-None-Match"), tag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Type", mediaTypes[path.Ext(name)])
	h.Set("Cross-Origin-Resource-Policy", "same-origin") // no other site may use these files in its pages
	if path.Ext(name) == ".html" {
		h.Set("Content-Security-Policy", policy)
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Permissions-Policy", permissions)
		h.Set("Cross-Origin-Opener-Policy", "same-origin") // a page that opens this one, or is opened by it, has no reference to it
	}
	if compressed {
		h.Set("Content-Encoding", "gzip")
	}
	_, _ = io.Copy(w, body) //nolint:gosec // the files are the server's own, and a client that left does not read them
}
