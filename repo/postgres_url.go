package repo

import (
	"net"
	"net/url"
	"strings"
)

// withHostsAsParameters returns a database's URL with the hosts and ports of a list as its parameters, as the driver
// reads them. Users write the list before the path, as libpq has it: postgres://db1:5432,db2:5433/restante.
func withHostsAsParameters(address string) string {
	scheme, rest, found := strings.Cut(address, "://")
	if !found {
		return address
	}
	authority, path := rest, ""
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		authority, path = rest[:i], rest[i:]
	}
	user, list := "", authority
	if i := strings.LastIndex(authority, "@"); i >= 0 {
		user, list = authority[:i+1], authority[i+1:]
	}
	if !strings.Contains(list, ",") {
		return address
	}
	var hosts, ports []string
	for at := range strings.SplitSeq(list, ",") {
		host, port, err := net.SplitHostPort(at)
		if err != nil {
			host, port = strings.Trim(at, "[]"), "" // the default port
		}
		hosts, ports = append(hosts, host), append(ports, port)
	}
	u, err := url.Parse(scheme + "://" + user + path)
	if err != nil {
		return address
	}
	q := u.Query()
	q.Set("host", strings.Join(hosts, ","))
	q.Set("port", strings.Join(ports, ","))
	u.RawQuery = q.Encode()
	return u.String()
}

// withParameter returns a database's URL with a connection parameter set, unless the URL sets it already.
func withParameter(address, name, value string) (string, error) {
	u, err := url.Parse(address)
	if err != nil {
		return "", errBadURL
	}
	q := u.Query()
	if !q.Has(name) {
		q.Set(name, value)
	}
	u.RawQuery = q.Encode()
	return u.String(), nil
}

// afterAuthority returns the part of a database's URL from its path on, in which a password with a special character may
// go on.
func afterAuthority(address string) string {
	_, rest, _ := strings.Cut(address, "://")
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		return rest[i:]
	}
	return ""
}

// isCutShort reports whether a special character seems to end the password of a database's URL: an @ comes later, where
// none belongs. The value of a parameter may have one.
func isCutShort(address string) bool {
	rest, fragment, _ := strings.Cut(afterAuthority(address), "#")
	path, query, _ := strings.Cut(rest, "?")
	for parameter := range strings.SplitSeq(query, "&") {
		if name, _, _ := strings.Cut(parameter, "="); strings.Contains(name, "@") {
			return true
		}
	}
	return strings.Contains(path, "@") || strings.Contains(fragment, "@")
}

// redactedURL returns a database's URL without user, password and parameters.
func redactedURL(address string) string {
	u, err := url.Parse(address)
	if err != nil || strings.Contains(afterAuthority(address), "@") {
		return "postgres://…"
	}
	host := u.Host
	if host == "" {
		q := u.Query()
		hosts, ports := strings.Split(q.Get("host"), ","), strings.Split(q.Get("port"), ",")
		for i := range hosts {
			if len(hosts) > 1 && len(ports) == len(hosts) && ports[i] != "" {
				hosts[i] = net.JoinHostPort(hosts[i], ports[i])
			}
		}
		host = strings.Join(hosts, ",")
	}
	return "postgres://" + host + "/" + strings.TrimPrefix(u.Path, "/")
}
