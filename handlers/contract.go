package handlers

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"restante/openapi"
	"restante/rendezvous"
)

// contract is openapi/openapi.yaml in one media type.
type contract struct {
	media  string
	plain  []byte
	packed []byte // plain, compressed with gzip
}

// contractAsYAML and contractAsJSON are computed once. They fail only if openapi.yaml cannot be read.
var (
	contractAsYAML = sync.OnceValues(func() (*contract, error) {
		return newContract("application/yaml", openapi.YAML)
	})
	contractAsJSON = sync.OnceValues(func() (*contract, error) {
		text, err := openapi.JSON()
		if err != nil {
			return nil, err
		}
		return newContract("application/json", text)
	})
)

func newContract(media string, plain []byte) (*contract, error) {
	var packed bytes.Buffer
	w, err := gzip.NewWriterLevel(&packed, gzip.DefaultCompression)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(plain); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return &contract{media, plain, packed.Bytes()}, nil
}

// getContract is GET /openapi.yaml: the contract as it was written, or as JSON if Accept prefers JSON.
func (s *Server) getContract(w http.ResponseWriter, r *http.Request) {
	w.Header().Add("Vary", "Accept")
	accept := r.Header.Values("Accept")
	browser, _ := rangeWeight(accept, "text/html") // shows YAML
	yaml, asJSON := max(browser, weight(accept, "application/yaml")), weight(accept, "application/json")
	switch {
	case yaml > asJSON, yaml == asJSON && yaml > 0 && !names(accept, "application/json"):
		s.sendContract(w, r, contractAsYAML)
	case asJSON > 0:
		s.sendContract(w, r, contractAsJSON)
	default:
		s.fail(w, r, &rendezvous.Failure{Code: notAcceptable, Detail: "the contract comes as application/yaml and as application/json"})
	}
}

// getContractAsJSON is GET /openapi.json.
func (s *Server) getContractAsJSON(w http.ResponseWriter, r *http.Request) {
	s.sendContract(w, r, contractAsJSON)
}

// below returns the contract of a server that is reached below a path.
func (c *contract) below(prefix string) (*contract, error) {
	if prefix == "" {
		return c, nil
	}
	for _, root := range []string{"servers:\n  - url: /\n", `"servers":[{"url":"/"`} {
		if moved := bytes.Replace(c.plain, []byte(root), []byte(strings.Replace(root, "/", prefix, 1)), 1); len(moved) != len(c.plain) {
			return newContract(c.media, moved)
		}
	}
	return nil, errors.New("openapi.yaml names no server at /")
}

// sendContract answers with the contract, compressed if the client takes that, or with 304 if the client has it.
func (s *Server) sendContract(w http.ResponseWriter, r *http.Request, load func() (*contract, error)) {
	c, err := load()
	if err == nil {
		c, err = c.below(prefixOf(r))
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	h := w.Header()
	h.Add("Vary", "Accept-Encoding")
	h.Set("Cache-Control", "max-age=300")
	body := c.plain
	if takesGzip(r) {
		body = c.packed
	}
	sum := sha256.Sum256(body)
	tag := `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"` // strong: it names these very bytes
	h.Set("ETag", tag)
	if matches(r.Header.Values("If-None-Match"), tag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Type", c.media)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	if takesGzip(r) {
		h.Set("Content-Encoding", "gzip")
	}
	_, _ = w.Write(body) // a client that left does not read it
}

// matches reports whether If-None-Match (RFC 9110, §13.1.2) lists a strong tag. The comparison is weak.
func matches(header []string, tag string) bool {
	for one := range strings.SplitSeq(strings.Join(header, ","), ",") {
		one = strings.TrimSpace(one)
		if one == "*" || strings.TrimPrefix(one, "W/") == tag {
			return true
		}
	}
	return false
}
