package handlers

import (
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"restante/openapi"
	"restante/rendezvous"
)

// getContract is GET /openapi.yaml: as it was written, or as JSON by Accept.
func (s *Server) getContract(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Vary", "Accept")
	w.Header().Set("Cache-Control", "max-age=300")
	accept := r.Header.Values("Accept")
	switch {
	case !names(accept, "application/json") && (accepts(accept, "application/yaml") || accepts(accept, "text/html")): // a browser's too
		w.Header().Set("Content-Type", "application/yaml")
		_, _ = w.Write(openapi.YAML) // a client that left does not read it
	case accepts(accept, "application/json"):
		document, err := openapi.JSON()
		if err != nil {
			s.fail(w, r, err)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(document)
	default:
		s.fail(w, r, &rendezvous.Failure{Code: notAcceptable, Detail: "the contract comes as application/yaml and as application/json"})
	}
}

// accepts tells whether Accept (RFC 9110, §12.5.1) allows a media type, by its name or by a wildcard.
func accepts(accept []string, media string) bool {
	major, _, _ := strings.Cut(media, "/")
	return len(accept) == 0 || names(accept, media, major+"/*", "*/*")
}

// names tells whether Accept names one of these. Among what it allows we choose
// ourselves, so of its weights only 0, which forbids, matters.
func names(accept []string, medias ...string) bool {
	for one := range strings.SplitSeq(strings.Join(accept, ","), ",") {
		media, params, err := mime.ParseMediaType(one)
		if err != nil || !slices.Contains(medias, media) {
			continue
		}
		if weight, err := strconv.ParseFloat(params["q"], 64); err != nil || weight > 0 {
			return true
		}
	}
	return false
}

// getHome is GET /.
func (s *Server) getHome(w http.ResponseWriter, _ *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	h.Set("Referrer-Policy", "no-referrer")
	_, _ = w.Write(s.Home) // a client that left does not read it
}
