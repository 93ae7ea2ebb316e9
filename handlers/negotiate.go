package handlers

import (
	"mime"
	"net/http"
	"regexp"
	"strconv"
	"strings"
)

// names reports whether Accept lists a media type by its name.
func names(accept []string, media string) bool {
	q, _ := rangeWeight(accept, media)
	return q > 0
}

// prefers reports whether Accept names a media type, and does not prefer JSON to it. Of two that weigh the same, JSON is
// preferred: libraries that take either name JSON and then a text, as in application/json, text/plain, */*.
func prefers(accept []string, media string) bool {
	q, asJSON := weight(accept, media), weight(accept, "application/json")
	return names(accept, media) && (q > asJSON || q == asJSON && !names(accept, "application/json"))
}

// weight returns the weight that Accept (RFC 9110, §12.5.1) gives a media type: that of the closest range that holds
// it, or 0 if there is none.
func weight(accept []string, media string) float64 {
	major, _, _ := strings.Cut(media, "/")
	for _, name := range []string{media, major + "/*", "*/*"} {
		if q, is := rangeWeight(accept, name); is {
			return q
		}
	}
	if strings.Trim(strings.Join(accept, ""), " \t") == "" {
		return 1 // one that is empty says as little as none
	}
	return 0
}

// rangeWeight returns the weight of one range in Accept. ok is false if Accept does not list it.
func rangeWeight(accept []string, name string) (q float64, ok bool) {
	for _, one := range splitUnquoted(strings.Join(accept, ","), ',') {
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

// splitUnquoted splits the value of a header at a separator, except within quoted strings (RFC 9110, §5.6.4).
func splitUnquoted(value string, separator byte) (parts []string) {
	begin, quoted := 0, false
	for i := 0; i < len(value); i++ {
		switch c := value[i]; {
		case c == '"':
			quoted = !quoted
		case c == '\\' && quoted:
			i++ // whatever comes next is meant as it is
		case c == separator && !quoted:
			parts, begin = append(parts, value[begin:i]), i+1
		}
	}
	return append(parts, value[begin:])
}

var quotedPair = regexp.MustCompile(`\\(.)`)

// unquote returns what a quoted string stands for. A token stands for itself.
func unquote(text string) string {
	inside, opened := strings.CutPrefix(text, `"`)
	inside, closed := strings.CutSuffix(inside, `"`)
	if !opened || !closed {
		return text
	}
	return quotedPair.ReplaceAllString(inside, "$1")
}

// takesGzip reports whether Accept-Encoding (RFC 9110, §12.5.3) allows gzip.
func takesGzip(r *http.Request) bool {
	encodings := r.Header.Values("Accept-Encoding")
	q, named := rangeWeight(encodings, "gzip")
	if !named {
		q, _ = rangeWeight(encodings, "*")
	}
	return q > 0
}
