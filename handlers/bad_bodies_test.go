package handlers_test

import "strings"

const (
	addOurs = "POST /v1/mailboxes/ours/messages"
	claim9  = "PUT /v1/nameplates/9"
	openNew = "PUT /v1/mailboxes/new"
	take    = "POST /v1/nameplates"
	ackPost = "POST /v1/session/ack"
)

var (
	tenMegabytes = strings.Repeat("x", 10<<20)
	deep         = strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000)
	deepObjects  = strings.Repeat(`{"a":`, 15_000) + "1" + strings.Repeat("}", 15_000)
)

var badBodies = []bad{
	// A message.
	{"no body at all", addOurs, nil, "", 400, "INVALID_REQUEST", "#/body"},
	{"only white space", addOurs, nil, " \n\t ", 400, "INVALID_REQUEST", "#/body"},
	{"null", addOurs, nil, "null", 400, "INVALID_REQUEST", "#/body"},
	{"an array of texts", addOurs, nil, `["p", "b"]`, 400, "INVALID_REQUEST", "#/body/0"},
	{"a text", addOurs, nil, `"p"`, 400, "INVALID_REQUEST", "#/body"},
	{"a number", addOurs, nil, `1`, 400, "INVALID_REQUEST", "#/body"},
	{"no members", addOurs, nil, `{}`, 400, "INVALID_REQUEST", "#/body/phase"},
	{"no phase", addOurs, nil, `{"body": "b"}`, 400, "INVALID_REQUEST", "#/body/phase"},
	{"no body member", addOurs, nil, `{"phase": "p"}`, 400, "INVALID_REQUEST", "#/body/body"},
	{"phase is null", addOurs, nil, `{"phase": null, "body": "b"}`, 400, "INVALID_REQUEST", "#/body/phase"},
	{"body is null", addOurs, nil, `{"phase": "p", "body": null}`, 400, "INVALID_REQUEST", "#/body/body"},
	{"id is null", addOurs, nil, `{"phase": "p", "body": "b", "id": null}`, 400, "INVALID_REQUEST", "#/body/id"},
	{"phase is a number", addOurs, nil, `{"phase": 1, "body": "b"}`, 400, "INVALID_REQUEST", "#/body/phase"},
	{"body is an object", addOurs, nil, `{"phase": "p", "body": {"a": 1}}`, 400, "INVALID_REQUEST", "#/body/body"},
	{"body is true", addOurs, nil, `{"phase": "p", "body": true}`, 400, "INVALID_REQUEST", "#/body/body"},
	{"id is an array", addOurs, nil, `{"phase": "p", "body": "b", "id": []}`, 400, "INVALID_REQUEST", "#/body/id"},
	{"phase is empty", addOurs, nil, `{"phase": "", "body": "b"}`, 400, "INVALID_REQUEST", "#/body/phase"},
	{"phase of 129 characters", addOurs, nil, `{"phase": "` + strings.Repeat("é", 129) + `", "body": "b"}`, 400, "INVALID_REQUEST", "#/body/phase"},
	{"phase with NUL", addOurs, nil, `{"phase": "a\u0000", "body": "b"}`, 400, "INVALID_REQUEST", "#/body/phase"},
	{"phase with a newline", addOurs, nil, `{"phase": "a\nb", "body": "b"}`, 400, "INVALID_REQUEST", "#/body/phase"},
	{"phase with a C1 control", addOurs, nil, `{"phase": "a\u0085", "body": "b"}`, 400, "INVALID_REQUEST", "#/body/phase"},
	{"id of 129 characters", addOurs, nil, `{"phase": "p", "body": "b", "id": "` + strings.Repeat("i", 129) + `"}`, 400, "INVALID_REQUEST", "#/body/id"},
	{"id with DEL", addOurs, nil, `{"phase": "p", "body": "b", "id": "\u007f"}`, 400, "INVALID_REQUEST", "#/body/id"},
	{"body of one byte too many", addOurs, nil, `{"phase": "p", "body": "` + strings.Repeat("b", 65_537) + `"}`, 400, "INVALID_REQUEST", "#/body/body"},
	{"body of too many bytes in few characters", addOurs, nil, `{"phase": "p", "body": "` + strings.Repeat("😀", 16_385) + `"}`, 400, "INVALID_REQUEST", "#/body/body"},
	{"an unknown member", addOurs, nil, `{"phase": "p", "body": "b", "to": "x"}`, 400, "INVALID_REQUEST", "#/body/to"},
	{"an unknown member of an odd name", addOurs, nil, `{"phase": "p", "body": "b", "a/b~c d\nü": 1}`, 400, "INVALID_REQUEST", "#/body/a~1b~0c%20d%0A%C3%BC"},
	{"an unknown member of a long name", addOurs, nil, `{"phase": "p", "` + strings.Repeat("n", 200_000) + `": 1}`, 400, "INVALID_REQUEST", "#/body"},
	{"an unknown member without a name", addOurs, nil, `{"phase": "p", "body": "b", "": 1}`, 400, "INVALID_REQUEST", "#/body/"},
	{"a name in another case", addOurs, nil, `{"Phase": "p", "body": "b"}`, 400, "INVALID_REQUEST", "#/body/Phase"},
	{"a name given twice", addOurs, nil, `{"phase": "p", "body": "b", "phase": "q"}`, 400, "INVALID_REQUEST", "#/body/phase"},
	{"an escaped name given twice", addOurs, nil, `{"phase": "p", "body": "b", "ph\u0061se": "q"}`, 400, "INVALID_REQUEST", "#/body/phase"},
	{"two cases of a name", addOurs, nil, `{"phase": "p", "body": "b", "BODY": "c"}`, 400, "INVALID_REQUEST", "#/body/BODY"},
	{"invalid UTF-8 in a value", addOurs, nil, "{\"phase\": \"p\", \"body\": \"\xff\xfe\"}", 400, "INVALID_REQUEST", "#/body/body"},
	{"overlong UTF-8", addOurs, nil, "{\"phase\": \"p\", \"body\": \"\xc0\xaf\"}", 400, "INVALID_REQUEST", "#/body/body"},
	{"half a surrogate pair", addOurs, nil, `{"phase": "p", "body": "\ud83d"}`, 400, "INVALID_REQUEST", "#/body/body"},
	{"invalid UTF-8 in a name", addOurs, nil, "{\"phase\": \"p\", \"\xff\": \"b\"}", 400, "INVALID_REQUEST", "#/body"},
	{"UTF-16", addOurs, nil, "\xff\xfe{\x00}\x00", 400, "INVALID_REQUEST", "#/body"},
	{"a raw control character", addOurs, nil, "{\"phase\": \"p\", \"body\": \"a\x01\"}", 400, "INVALID_REQUEST", "#/body/body"},
	{"cut off in a value", addOurs, nil, `{"phase": "p", "body": "b`, 400, "INVALID_REQUEST", "#/body/body"},
	{"cut off after a value", addOurs, nil, `{"phase": "p", "body": "b"`, 400, "INVALID_REQUEST", "#/body"},
	{"a second document", addOurs, nil, `{"phase": "p", "body": "b"} {}`, 400, "INVALID_REQUEST", "#/body"},
	{"a brace too many", addOurs, nil, `{"phase": "p", "body": "b"}}`, 400, "INVALID_REQUEST", "#/body"},
	{"a comma too many", addOurs, nil, `{"phase": "p", "body": "b",}`, 400, "INVALID_REQUEST", "#/body"},
	{"single quotes", addOurs, nil, `{'phase': 'p', 'body': 'b'}`, 400, "INVALID_REQUEST", "#/body"},
	{"a comment", addOurs, nil, `{"phase": "p", /* b */ "body": "b"}`, 400, "INVALID_REQUEST", "#/body"},
	{"a form", addOurs, nil, `phase=p&body=b`, 400, "INVALID_REQUEST", "#/body"},
	{"deep arrays", addOurs, nil, deep, 400, "INVALID_REQUEST", "#/body…"},
	{"deep arrays in a member", addOurs, nil, `{"phase": "p", "body": ` + deep + `}`, 400, "INVALID_REQUEST", "#/body/body…"},
	{"deep objects", addOurs, nil, deepObjects, 400, "INVALID_REQUEST", "#/body/a…"},
	{"10 MB", addOurs, nil, `{"phase": "p", "body": "` + tenMegabytes + `"}`, 413, "PAYLOAD_TOO_LARGE", ""},
	{"10 MB of white space", addOurs, nil, strings.Repeat(" ", 10<<20), 413, "PAYLOAD_TOO_LARGE", ""},
	{"10 MB that is no JSON", addOurs, []string{"-Content-Type"}, tenMegabytes, 413, "PAYLOAD_TOO_LARGE", ""},

	{"a text of one byte too many", addOurs, []string{"-Content-Type", "Content-Type: text/plain"}, strings.Repeat("b", 65_537), 400, "INVALID_REQUEST", "#/body"},
	{"a text of too many bytes in few characters", addOurs, []string{"-Content-Type", "Content-Type: text/plain"}, strings.Repeat("😀", 16_385), 400, "INVALID_REQUEST", "#/body"},
	{"a body with its phase of one byte too many", addOurs + "?phase=p", nil, strings.Repeat("b", 65_537), 400, "INVALID_REQUEST", "#/body"},

	// A lifetime, which may be left out but not be wrong.
	{"ttlMs is a text", claim9, nil, `{"ttlMs": "1000"}`, 400, "INVALID_REQUEST", "#/body/ttlMs"},
	{"ttlMs is null", claim9, nil, `{"ttlMs": null}`, 400, "INVALID_REQUEST", "#/body/ttlMs"},
	{"ttlMs is -1", claim9, nil, `{"ttlMs": -1}`, 400, "INVALID_REQUEST", "#/body/ttlMs"},
	{"ttlMs is 1.5", claim9, nil, `{"ttlMs": 1.5}`, 400, "INVALID_REQUEST", "#/body/ttlMs"},
	{"ttlMs is 1e400", claim9, nil, `{"ttlMs": 1e400}`, 400, "INVALID_REQUEST", "#/body/ttlMs"},
	{"ttlMs is 2^53", claim9, nil, `{"ttlMs": 9007199254740992}`, 400, "INVALID_REQUEST", "#/body/ttlMs"},
	{"ttlMs is 2^63", take, nil, `{"ttlMs": 9223372036854775808}`, 400, "INVALID_REQUEST", "#/body/ttlMs"},
	{"ttlMs is 0x10", take, nil, `{"ttlMs": 0x10}`, 400, "INVALID_REQUEST", "#/body"},
	{"ttlMs is 007", take, nil, `{"ttlMs": 007}`, 400, "INVALID_REQUEST", "#/body"},
	{"ttlMs is NaN", take, nil, `{"ttlMs": NaN}`, 400, "INVALID_REQUEST", "#/body/ttlMs"},
	{"ttlMs is above the server's limit", take, nil, `{"ttlMs": 86400001}`, 400, "INVALID_REQUEST", "#/body/ttlMs"},
	{"ttlMs is 2^53-1", openNew, nil, `{"ttlMs": 9007199254740991}`, 400, "INVALID_REQUEST", "#/body/ttlMs"},
	{"ttlMs twice", openNew, nil, `{"ttlMs": 1, "ttlMs": 1}`, 400, "INVALID_REQUEST", "#/body/ttlMs"},
	{"TTLMS", openNew, nil, `{"TTLMS": 1}`, 400, "INVALID_REQUEST", "#/body/TTLMS"},
	{"null for a lifetime", openNew, nil, `null`, 400, "INVALID_REQUEST", "#/body"},
	{"a list for a lifetime", take, nil, `[]`, 400, "INVALID_REQUEST", "#/body"},
	{"10 MB for a lifetime", claim9, nil, tenMegabytes, 413, "PAYLOAD_TOO_LARGE", ""},

	// An acknowledgement.
	{"no acknowledgement", ackPost, nil, ``, 400, "INVALID_REQUEST", "#/body"},
	{"an empty acknowledgement", ackPost, nil, `{}`, 400, "INVALID_REQUEST", "#/body/ack"},
	{"ack is null", ackPost, nil, `{"ack": null}`, 400, "INVALID_REQUEST", "#/body/ack"},
	{"ack is -1", ackPost, nil, `{"ack": -1}`, 400, "INVALID_REQUEST", "#/body/ack"},
	{"ack is a text", ackPost, nil, `{"ack": "1"}`, 400, "INVALID_REQUEST", "#/body/ack"},
	{"ack is 2^53", ackPost, nil, `{"ack": 9007199254740992}`, 400, "INVALID_REQUEST", "#/body/ack"},
	{"ack is 2^64", ackPost, nil, `{"ack": 18446744073709551616}`, 400, "INVALID_REQUEST", "#/body/ack"},
	{"ack was never sent", ackPost, nil, `{"ack": 9007199254740991}`, 409, "SESSION_STATE_MISMATCH", ""},
	{"ack in another case", ackPost, nil, `{"Ack": 0}`, 400, "INVALID_REQUEST", "#/body/Ack"},

	// What takes no body.
	{"a body to look at the session", "GET /v1/session", nil, `{}`, 400, "INVALID_REQUEST", "#/body"},
	{"a body to receive", "GET /v1/session/events?wait=0", nil, `{"ack": 0}`, 400, "INVALID_REQUEST", "#/body"},
	{"a mood in the body", "DELETE /v1/session", nil, `{"mood": "happy"}`, 400, "INVALID_REQUEST", "#/body"},
	{"a mood in a form", "DELETE /v1/mailboxes/ours", []string{"-Content-Type", "Content-Type: application/x-www-form-urlencoded"}, `mood=happy`, 400, "INVALID_REQUEST", "#/body"},
	{"10 MB to release", "DELETE /v1/nameplates/41", nil, tenMegabytes, 400, "INVALID_REQUEST", "#/body"},

	// Content-Type.
	{"no Content-Type", addOurs, []string{"-Content-Type"}, `{"phase": "p", "body": "b"}`, 415, "UNSUPPORTED_MEDIA_TYPE", ""},
	{"an empty Content-Type", addOurs, []string{"-Content-Type", "Content-Type: "}, `{"phase": "p", "body": "b"}`, 415, "UNSUPPORTED_MEDIA_TYPE", ""},
	{"text/html", addOurs, []string{"-Content-Type", "Content-Type: text/html"}, `{"phase": "p", "body": "b"}`, 415, "UNSUPPORTED_MEDIA_TYPE", ""},
	{"a form's Content-Type, as curl -d has", addOurs, []string{"-Content-Type", "Content-Type: application/x-www-form-urlencoded"}, `{"phase": "p", "body": "b"}`, 415, "UNSUPPORTED_MEDIA_TYPE", ""},
	{"JSON's cousin", addOurs, []string{"-Content-Type", "Content-Type: application/merge-patch+json"}, `{"phase": "p", "body": "b"}`, 415, "UNSUPPORTED_MEDIA_TYPE", ""},
	{"two Content-Types", addOurs, []string{"Content-Type: application/json"}, `{"phase": "p", "body": "b"}`, 415, "UNSUPPORTED_MEDIA_TYPE", ""},
	{"two Content-Types that differ", claim9, []string{"Content-Type: text/plain"}, `{}`, 415, "UNSUPPORTED_MEDIA_TYPE", ""},
	{"a text in another charset", addOurs, []string{"-Content-Type", "Content-Type: text/plain; charset=iso-8859-1"}, "t\xe9a", 415, "UNSUPPORTED_MEDIA_TYPE", ""},
	{"a Content-Type that is junk", openNew, []string{"-Content-Type", "Content-Type: ;;;="}, `{}`, 415, "UNSUPPORTED_MEDIA_TYPE", ""},
	{"text/plain to acknowledge", ackPost, []string{"-Content-Type", "Content-Type: text/plain"}, `{"ack": 0}`, 415, "UNSUPPORTED_MEDIA_TYPE", ""},
	{"compressed", addOurs, []string{"Content-Encoding: gzip"}, "\x1f\x8b\x08\x00", 415, "UNSUPPORTED_MEDIA_TYPE", ""},
	{"a lifetime, compressed", openNew, []string{"Content-Encoding: GZIP"}, "\x1f\x8b\x08\x00", 415, "UNSUPPORTED_MEDIA_TYPE", ""},
	{"compressed in the second place", addOurs, []string{"Content-Encoding: identity, br"}, "{}", 415, "UNSUPPORTED_MEDIA_TYPE", ""},
	{"a text, compressed", addOurs, []string{"-Content-Type", "Content-Type: text/plain", "Content-Encoding: gzip"}, "\x1f\x8b\x08\x00", 415, "UNSUPPORTED_MEDIA_TYPE", ""},
	{"compressed, with its phase", addOurs + "?phase=p", []string{"Content-Encoding: gzip"}, "\x1f\x8b\x08\x00", 415, "UNSUPPORTED_MEDIA_TYPE", ""},
}
