package handlers_test

import (
	"net/http"
	"strings"
	"testing"
)

// JSON is in UTF-8 whatever its charset says (RFC 8259, §11). A text is in UTF-8, of which ASCII is a part.
func TestMediaTypesOfBodies(t *testing.T) {
	w := start(t, options{})
	a := w.keyed(t, "app", secretA)
	const to = "/v1/mailboxes/m/messages?open=true"
	for media, detail := range map[string]string{
		"application/json":                     "",
		"application/json;":                    "",
		"Application/JSON":                     "",
		"application/json; charset=utf-8":      "",
		"application/json;charset=utf8":        "",
		"application/json; charset=us-ascii":   "",
		"application/json; charset=iso-8859-1": "",
		"text/plain":                           "",
		"text/plain; charset=UTF-8":            "",
		"text/plain;charset=utf8":              "",
		"text/plain; charset=US-ASCII":         "",
		`text/plain; charset="utf-8"`:          "",
		"text/plain; charset=iso-8859-1":       "in UTF-8",
		"text/plain; charset=":                 "in UTF-8",
		"text/json":                            "application/json",
		"application/xml":                      "application/json",
	} {
		r := a.post(to, `{"phase":"p","body":"b"}`).with("-Content-Type", "Content-Type: "+media)
		if detail == "" {
			r.want(http.StatusCreated)
			continue
		}
		if got := r.refused(http.StatusUnsupportedMediaType, "UNSUPPORTED_MEDIA_TYPE"); !strings.Contains(got.text("detail"), detail) {
			t.Errorf("%s is refused with %q", media, got.text("detail"))
		}
	}
	w.begin(t, "app", "a").post("/v1/nameplates", `{"ttlMs": 60000}`).with("-Content-Type", "Content-Type: application/json;charset=utf8").want(http.StatusCreated)
}

// A body that is compressed is refused for that, and the answer says what is taken instead.
func TestABodyIsNotCompressed(t *testing.T) {
	w := start(t, options{})
	a := w.keyed(t, "app", secretA)
	const to, body = "/v1/mailboxes/m/messages?open=true", `{"phase":"p","body":"b"}`
	got := a.post(to, body).with("Content-Encoding: gzip").refused(http.StatusUnsupportedMediaType, "UNSUPPORTED_MEDIA_TYPE").says("Accept-Encoding", "identity")
	if !strings.Contains(got.text("detail"), "Content-Encoding") {
		t.Errorf("it is refused with %q", got.text("detail"))
	}
	a.post(to, body).with("Content-Encoding: identity").want(http.StatusCreated)
	a.post(to, body).with("Content-Encoding: ").want(http.StatusCreated)
	a.put("/v1/mailboxes/m").with("Content-Encoding: gzip").want(http.StatusOK) // there is no body
}

// An Accept that is empty asks for nothing, as none does.
func TestAnEmptyAccept(t *testing.T) {
	w := start(t, options{})
	a := w.begin(t, "app", "a")
	a.open("m").want(http.StatusOK)
	for _, path := range []string{"/v1/session/events?wait=0", "/v1/mailboxes/m/messages"} {
		a.get(path).with("Accept: ").want(http.StatusOK).says("Content-Type", "application/json")
		a.get(path).with("Accept: ", "Accept: ").want(http.StatusOK).says("Content-Type", "application/json")
	}
	w.anonymous(t).get("/openapi.yaml").with("Accept: ", "Accept-Encoding: identity").want(http.StatusOK).says("Content-Type", "application/yaml")
}

// Libraries that take JSON and a text mean JSON. A text is for those that name nothing else, or prefer it.
func TestMessagesAsClientsAcceptThem(t *testing.T) {
	w := start(t, options{})
	a := w.keyed(t, "app", secretA)
	for accept, media := range map[string]string{
		"application/json, text/plain, */*":                    "application/json", // axios, Angular
		"text/plain, application/json, */*":                    "application/json", // Spring
		"application/json, text/javascript, */*; q=0.01":       "application/json", // jQuery
		"application/json, application/*+json":                 "application/json",
		"application/json, */*;q=0.5":                          "application/json", // HTTPie
		"application/json":                                     "application/json",
		"*/*":                                                  "application/json", // curl, fetch
		"text/html,application/xml;q=0.9,*/*;q=0.8":            "application/json", // a browser
		"text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2": "application/json", // Java
		"text/plain":                                           "text/plain; charset=utf-8",
		"text/*":                                               "text/plain; charset=utf-8",
		"text/plain, */*":                                      "text/plain; charset=utf-8",
		"text/plain, */*; q=0.01":                              "text/plain; charset=utf-8",
		"text/plain, application/json;q=.9":                    "text/plain; charset=utf-8",
		"application/json;q=0.5, text/plain":                   "text/plain; charset=utf-8",
	} {
		got := a.get("/v1/mailboxes/m/messages?open=true").with("Accept: " + accept).want(http.StatusOK)
		if is := got.header.Get("Content-Type"); is != media {
			t.Errorf("%s is answered as %s", accept, is)
		}
	}
}
