package handlers

import (
	"mime"
	"net/http"
	"strconv"
	"strings"

	"restante/openapi"
	"restante/rendezvous"
)

// getContract is GET /openapi.yaml: as it was written, or as JSON by Accept.
func (s *Server) getContract(w http.ResponseWriter, r *http.Request) {
	w.Header().Add("Vary", "Accept")
	w.Header().Set("Cache-Control", "max-age=300")
	accept := r.Header.Values("Accept")
	browser, _ := said(accept, "text/html") // shows YAML
	yaml, asJSON := max(browser, weight(accept, "application/yaml")), weight(accept, "application/json")
	switch {
	case yaml > asJSON, yaml == asJSON && yaml > 0 && !names(accept, "application/json"):
		w.Header().Set("Content-Type", "application/yaml")
		_, _ = w.Write(openapi.YAML) // a client that left does not read it
	case asJSON > 0:
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

// names tells whether Accept asks for a media type by its name.
func names(accept []string, media string) bool {
	q, _ := said(accept, media)
	return q > 0
}

// weight is what Accept (RFC 9110, §12.5.1) gives a media type: what the closest of
// the ranges that it is in says, or 0 if it is in none.
func weight(accept []string, media string) float64 {
	major, _, _ := strings.Cut(media, "/")
	for _, name := range []string{media, major + "/*", "*/*"} {
		if q, is := said(accept, name); is {
			return q
		}
	}
	if len(accept) == 0 {
		return 1
	}
	return 0
}

// said is the weight of a range in Accept, if it is there.
func said(accept []string, name string) (q float64, is bool) {
	for one := range strings.SplitSeq(strings.Join(accept, ","), ",") {
		media, params, err := mime.ParseMediaType(one)
		if err != nil || media != name {
			continue
		}
		if q, err := strconv.ParseFloat(params["q"], 64); err == nil {
			return q, true
		}
		return 1, true
	}
	return 0, false
}
