package handlers

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// CheckOrigin refuses what a browser never sends as an origin, and so would never match: an
// origin is a scheme, a host and a port if that is not the scheme's own. A * stands for every origin, for all that
// comes before a domain, or for any port.
func CheckOrigin(origin string) error {
	if origin == "*" {
		return nil
	}
	scheme, host, _ := strings.Cut(origin, "://")
	port, known := map[string]string{"http": ":80", "https": ":443"}[scheme]
	pattern := strings.TrimPrefix(host, "*.")
	if name, is := strings.CutSuffix(pattern, ":*"); is {
		pattern = name + ":1"
	}
	u, err := url.Parse("http://" + pattern)
	switch {
	case !known:
		return errors.New("it must begin with https:// or http://")
	case strings.ContainsAny(host, "/?#"):
		return fmt.Errorf("an origin has no path and no slash at its end: write %s://%s", scheme, host[:strings.IndexAny(host, "/?#")])
	case strings.Contains(pattern, "*"):
		return fmt.Errorf("a * stands alone, or as in %s://*.example.org, or in place of the port", scheme)
	case err != nil || u.Hostname() == "" || u.Host != pattern || strings.HasSuffix(pattern, ":"):
		return fmt.Errorf("after %s:// comes a host, and a port if it is not the usual one", scheme)
	case strings.HasSuffix(host, port):
		return fmt.Errorf("browsers leave out the usual port: write %s://%s", scheme, strings.TrimSuffix(host, port))
	case strings.ContainsFunc(host, func(r rune) bool { return r > '~' }):
		return errors.New("browsers write hosts in ASCII, as in https://xn--bcher-kva.example")
	}
	return nil
}
