package handlers_test

import "strings"

const (
	lookAt  = "GET /v1/session"
	receive = "GET /v1/session/events"
	nothing = "DELETE /v1/nameplates/5"
	list    = "GET /v1/mailboxes/ours/messages"
)

var badHeaders = []bad{
	// Seq and Ack.
	{"Seq is a word", nothing, []string{"Seq: abc"}, "", 400, "INVALID_REQUEST", "#/header/Seq"},
	{"Seq is -1", nothing, []string{"Seq: -1"}, "", 400, "INVALID_REQUEST", "#/header/Seq"},
	{"Seq is 1.5", claim9, []string{"Seq: 1.5"}, "", 400, "INVALID_REQUEST", "#/header/Seq"},
	{"Seq is 1e3", take, []string{"Seq: 1e3"}, "", 400, "INVALID_REQUEST", "#/header/Seq"},
	{"Seq is 0x1", openNew, []string{"Seq: 0x1"}, "", 400, "INVALID_REQUEST", "#/header/Seq"},
	{"Seq is empty", nothing, []string{"Seq: "}, "", 400, "INVALID_REQUEST", "#/header/Seq"},
	{"Seq twice", nothing, []string{"Seq: 1", "Seq: 2"}, "", 400, "INVALID_REQUEST", "#/header/Seq"},
	{"Seq twice the same", addOurs, []string{"Seq: 1", "Seq: 1"}, `{"phase": "p", "body": "b"}`, 400, "INVALID_REQUEST", "#/header/Seq"},
	{"Seq is a list", nothing, []string{"Seq: 1, 2"}, "", 400, "INVALID_REQUEST", "#/header/Seq"},
	{"Seq is 2^53", nothing, []string{"Seq: 9007199254740992"}, "", 400, "INVALID_REQUEST", "#/header/Seq"},
	{"Seq is 2^63", nothing, []string{"Seq: 9223372036854775808"}, "", 400, "INVALID_REQUEST", "#/header/Seq"},
	{"Seq of 1000 digits", nothing, []string{"Seq: " + strings.Repeat("9", 1000)}, "", 400, "INVALID_REQUEST", "#/header/Seq"},
	{"Seq of unicode digits", nothing, []string{"Seq: ١"}, "", 400, "INVALID_REQUEST", "#/header/Seq"},
	{"Seq is 2^53-1", nothing, []string{"Seq: 9007199254740991"}, "", 409, "SEQ_GAP", ""},
	{"Seq was another command's", "DELETE /v1/nameplates/6", []string{"Seq: {last}"}, "", 409, "SEQ_REUSED", ""},
	{"Ack is a word", lookAt, []string{"Ack: abc"}, "", 400, "INVALID_REQUEST", "#/header/Ack"},
	{"Ack is -1", lookAt, []string{"Ack: -1"}, "", 400, "INVALID_REQUEST", "#/header/Ack"},
	{"Ack is 1.5", receive, []string{"Ack: 1.5"}, "", 400, "INVALID_REQUEST", "#/header/Ack"},
	{"Ack is empty", "GET /v1/nameplates", []string{"Ack: "}, "", 400, "INVALID_REQUEST", "#/header/Ack"},
	{"Ack twice", list, []string{"Ack: 0", "Ack: 0"}, "", 400, "INVALID_REQUEST", "#/header/Ack"},
	{"Ack is 2^53", ackPost, []string{"Ack: 9007199254740992"}, `{"ack": 0}`, 400, "INVALID_REQUEST", "#/header/Ack"},
	{"Ack is 2^63", "DELETE /v1/session", []string{"Ack: 9223372036854775808"}, "", 400, "INVALID_REQUEST", "#/header/Ack"},
	{"Ack was never sent, looking", lookAt, []string{"Ack: 1000000"}, "", 409, "SESSION_STATE_MISMATCH", ""},
	{"Ack was never sent, receiving", receive, []string{"Ack: 1000000"}, "", 409, "SESSION_STATE_MISMATCH", ""},
	{"Ack was never sent, ending", "DELETE /v1/session", []string{"Ack: 1000000"}, "", 409, "SESSION_STATE_MISMATCH", ""},
	{"Ack was never sent, adding", addOurs, []string{"Ack: 1000000"}, `{"phase": "p", "body": "b"}`, 409, "SESSION_STATE_MISMATCH", ""},
	{"a Prefer that is too long", receive, []string{"Prefer: " + strings.Repeat("x", 257)}, "", 400, "INVALID_REQUEST", "#/header/Prefer"},

	// The credential.
	{"no Authorization", lookAt, []string{"-Authorization"}, "", 401, "SESSION_REQUIRED", ""},
	{"an empty Authorization", lookAt, []string{"-Authorization", "Authorization: "}, "", 401, "SESSION_REQUIRED", ""},
	{"only a scheme", lookAt, []string{"-Authorization", "Authorization: Bearer"}, "", 401, "SESSION_REQUIRED", ""},
	{"only a token", lookAt, []string{"-Authorization", "Authorization: {me}"}, "", 401, "SESSION_REQUIRED", ""},
	{"Basic", lookAt, []string{"-Authorization", "Authorization: Basic {me}"}, "", 401, "SESSION_REQUIRED", ""},
	{"a scheme and more", lookAt, []string{"-Authorization", "Authorization: BearerX {me}"}, "", 401, "SESSION_REQUIRED", ""},
	{"a tab for a space", lookAt, []string{"-Authorization", "Authorization: Bearer\t{me}"}, "", 401, "SESSION_REQUIRED", ""},
	{"two tokens", lookAt, []string{"-Authorization", "Authorization: Bearer {me} {me}"}, "", 401, "SESSION_REQUIRED", ""},
	{"two credentials", lookAt, []string{"Authorization: Bearer {peer}"}, "", 401, "SESSION_REQUIRED", ""},
	{"the same credential twice", lookAt, []string{"Authorization: Bearer {me}"}, "", 401, "SESSION_REQUIRED", ""},
	{"credentials in a list", lookAt, []string{"-Authorization", "Authorization: Bearer {me}, Bearer {me}"}, "", 401, "SESSION_REQUIRED", ""},
	{"a token that is too short", lookAt, []string{"-Authorization", "Authorization: Bearer aaaaaaaaaaaaaaaaaaaaa"}, "", 401, "SESSION_REQUIRED", ""},
	{"a token that is too long", lookAt, []string{"-Authorization", "Authorization: Bearer " + strings.Repeat("a", 65)}, "", 401, "SESSION_REQUIRED", ""},
	{"a token in quotes", lookAt, []string{"-Authorization", `Authorization: Bearer "{me}"`}, "", 401, "SESSION_REQUIRED", ""},
	{"a token of other characters", lookAt, []string{"-Authorization", "Authorization: Bearer ' OR 1=1 --aaaaaaaaaaaaaaaa"}, "", 401, "SESSION_REQUIRED", ""},
	{"the credential in the URL", lookAt + "?access_token={me}", []string{"-Authorization"}, "", 401, "SESSION_REQUIRED", ""},
	{"the credential as a cookie", lookAt, []string{"-Authorization", "Cookie: session={me}"}, "", 401, "SESSION_REQUIRED", ""},
	{"an unknown session", addOurs, []string{"-Authorization", "Authorization: Bearer {unknown}"}, `{"phase": "p", "body": "b"}`, 401, "SESSION_UNKNOWN", ""},
	{"an ended session", addOurs, []string{"-Authorization", "Authorization: Bearer {ended}"}, `{"phase": "p", "body": "b"}`, 410, "SESSION_ENDED", ""},
	{"a replaced session", receive, []string{"-Authorization", "Authorization: Bearer {replaced}"}, "", 410, "SESSION_ENDED", ""},
	{"an ended session with a bad body", addOurs, []string{"-Authorization", "Authorization: Bearer {ended}"}, `{`, 410, "SESSION_ENDED", ""},
	{"a replaced session ends", "DELETE /v1/session", []string{"-Authorization", "Authorization: Bearer {replaced}"}, "", 410, "SESSION_ENDED", ""},

	// Accept.
	{"a stream, which is not there yet", receive, []string{"Accept: text/event-stream"}, "", 406, "NOT_ACCEPTABLE", ""},
	{"anything but JSON", receive, []string{"Accept: application/json;q=0"}, "", 406, "NOT_ACCEPTABLE", ""},
	{"the contract as a picture", "GET /openapi.yaml", []string{"Accept: image/png"}, "", 406, "NOT_ACCEPTABLE", ""},
}

var badQueries = []bad{
	{"wait is -1", receive + "?wait=-1", nil, "", 400, "INVALID_REQUEST", "#/query/wait"},
	{"wait is a word", receive + "?wait=abc", nil, "", 400, "INVALID_REQUEST", "#/query/wait"},
	{"wait is empty", receive + "?wait=", nil, "", 400, "INVALID_REQUEST", "#/query/wait"},
	{"wait is 1.5", receive + "?wait=1.5", nil, "", 400, "INVALID_REQUEST", "#/query/wait"},
	{"wait is more than a day", receive + "?wait=86401", nil, "", 400, "INVALID_REQUEST", "#/query/wait"},
	{"wait is 2^63", receive + "?wait=9223372036854775808", nil, "", 400, "INVALID_REQUEST", "#/query/wait"},
	{"wait twice", receive + "?wait=0&wait=0", nil, "", 400, "INVALID_REQUEST", "#/query/wait"},
	{"epoch is 0", receive + "?epoch=0", nil, "", 400, "INVALID_REQUEST", "#/query/epoch"},
	{"epoch is a word", receive + "?epoch=first", nil, "", 400, "INVALID_REQUEST", "#/query/epoch"},
	{"epoch is from the future", receive + "?epoch=2", nil, "", 409, "SESSION_STATE_MISMATCH", ""},
	{"ack is -1", receive + "?ack=-1", nil, "", 400, "INVALID_REQUEST", "#/query/ack"},
	{"ack is 2^53", receive + "?ack=9007199254740992", nil, "", 400, "INVALID_REQUEST", "#/query/ack"},
	{"ack was never sent", receive + "?ack=9007199254740991", nil, "", 409, "SESSION_STATE_MISMATCH", ""},
	{"ack is fine, Ack is not", receive + "?ack=0", []string{"Ack: 1000000"}, "", 409, "SESSION_STATE_MISMATCH", ""},
	{"limit is 0", list + "?limit=0", nil, "", 400, "INVALID_REQUEST", "#/query/limit"},
	{"limit is 101", list + "?limit=101", nil, "", 400, "INVALID_REQUEST", "#/query/limit"},
	{"limit is a word", list + "?limit=all", nil, "", 400, "INVALID_REQUEST", "#/query/limit"},
	{"after is -1", list + "?after=-1", nil, "", 400, "INVALID_REQUEST", "#/query/after"},
	{"after is 2^53", list + "?after=9007199254740992", nil, "", 400, "INVALID_REQUEST", "#/query/after"},
	{"after is NaN", "PUT /v1/mailboxes/new?after=NaN", nil, "", 400, "INVALID_REQUEST", "#/query/after"},
	{"after is past the last message", "PUT /v1/mailboxes/ours?after=9007199254740991", nil, "", 400, "INVALID_REQUEST", ""},
	{"after is past the last message of a new mailbox", "PUT /v1/mailboxes/new?after=1", nil, "", 400, "INVALID_REQUEST", ""},
	{"angry", "DELETE /v1/mailboxes/ours?mood=angry", nil, "", 400, "INVALID_REQUEST", "#/query/mood"},
	{"Happy", "DELETE /v1/session?mood=Happy", nil, "", 400, "INVALID_REQUEST", "#/query/mood"},
	{"no mood to speak of", "DELETE /v1/session?mood=", nil, "", 400, "INVALID_REQUEST", "#/query/mood"},
	{"mixed feelings", "DELETE /v1/session?mood=happy&mood=scary", nil, "", 400, "INVALID_REQUEST", "#/query/mood"},
	{"a mood with NUL", "DELETE /v1/session?mood=happy%00", nil, "", 400, "INVALID_REQUEST", "#/query/mood"},
	{"a mood that is no percent-encoding", "DELETE /v1/session?mood=%zz", nil, "", 400, "INVALID_REQUEST", "#/query"},
	{"a query cut off", list + "?after=1%2", nil, "", 400, "INVALID_REQUEST", "#/query"},
	{"a semicolon", list + "?after=1;limit=1", nil, "", 400, "INVALID_REQUEST", "#/query"},
}

var badPaths = []bad{
	// Paths with a name in them.
	{"a word", "PUT /v1/nameplates/four", nil, "", 400, "INVALID_REQUEST", "#/path/nameplate"},
	{"a negative nameplate", "PUT /v1/nameplates/-4", nil, "", 400, "INVALID_REQUEST", "#/path/nameplate"},
	{"41 digits", "PUT /v1/nameplates/" + strings.Repeat("4", 41), nil, "", 400, "INVALID_REQUEST", "#/path/nameplate"},
	{"unicode digits", "PUT /v1/nameplates/%D9%A4", nil, "", 400, "INVALID_REQUEST", "#/path/nameplate"},
	{"full-width digits", "DELETE /v1/nameplates/%EF%BC%94", nil, "", 400, "INVALID_REQUEST", "#/path/nameplate"},
	{"a nameplate with NUL", "PUT /v1/nameplates/4%00", nil, "", 400, "INVALID_REQUEST", "#/path/nameplate"},
	{"a nameplate with a newline", "PUT /v1/nameplates/4%0A", nil, "", 400, "INVALID_REQUEST", "#/path/nameplate"},
	{"a nameplate with a slash", "PUT /v1/nameplates/4%2F5", nil, "", 400, "INVALID_REQUEST", "#/path/nameplate"},
	{"a space", "PUT /v1/nameplates/%20", nil, "", 400, "INVALID_REQUEST", "#/path/nameplate"},
	{"a plus", "PUT /v1/nameplates/+4", nil, "", 400, "INVALID_REQUEST", "#/path/nameplate"},
	{"encoded twice", "PUT /v1/nameplates/%2534", nil, "", 400, "INVALID_REQUEST", "#/path/nameplate"},
	{"129 characters", "PUT /v1/mailboxes/" + strings.Repeat("m", 129), nil, "", 400, "INVALID_REQUEST", "#/path/mailbox"},
	{"a mailbox with NUL", "PUT /v1/mailboxes/%00", nil, "", 400, "INVALID_REQUEST", "#/path/mailbox"},
	{"a mailbox with a slash", "GET /v1/mailboxes/ours%2Fmessages", nil, "", 400, "INVALID_REQUEST", "#/path/mailbox"},
	{"a mailbox with a space", "DELETE /v1/mailboxes/our%20s", nil, "", 400, "INVALID_REQUEST", "#/path/mailbox"},
	{"a mailbox in invalid UTF-8", "PUT /v1/mailboxes/%FF", nil, "", 400, "INVALID_REQUEST", "#/path/mailbox"},
	{"a mailbox of unicode letters", "PUT /v1/mailboxes/%C3%A4", nil, "", 400, "INVALID_REQUEST", "#/path/mailbox"},
	{"a mailbox with a quote", "GET /v1/mailboxes/'/messages", nil, "", 400, "INVALID_REQUEST", "#/path/mailbox"},
	{"no mailbox", "POST /v1/mailboxes//messages", nil, `{"phase": "p", "body": "b"}`, 400, "INVALID_REQUEST", "#/path/mailbox"},

	// Paths that lead nowhere.
	{"no nameplate", "PUT /v1/nameplates/", nil, "", 404, "NOT_FOUND", ""},
	{"one more segment", "PUT /v1/nameplates/4/5", nil, "", 404, "NOT_FOUND", ""},
	{"a slash at the end", "GET /v1/session/", nil, "", 404, "NOT_FOUND", ""},
	{"two slashes", "GET //v1/session", nil, "", 404, "NOT_FOUND", ""},
	{"upwards", "GET /v1/mailboxes/../session", nil, "", 404, "NOT_FOUND", ""},
	{"upwards, encoded", "GET /v1/mailboxes/%2e%2e/session", nil, "", 404, "NOT_FOUND", ""},
	{"out of here", "GET /../../../etc/passwd", nil, "", 404, "NOT_FOUND", ""},
	{"another case", "GET /V1/Session", nil, "", 404, "NOT_FOUND", ""},
	{"another version", "GET /v2/session", nil, "", 404, "NOT_FOUND", ""},
	{"somebody else's software", "GET /wp-login.php", nil, "", 404, "NOT_FOUND", ""},
	{"a path of 8000 characters", "GET /" + strings.Repeat("a", 8000), nil, "", 404, "NOT_FOUND", ""},
	{"a made-up method to nowhere", "BREW /nowhere", nil, "", 404, "NOT_FOUND", ""},

	// Methods.
	{"PATCH", "PATCH /v1/session", nil, `{}`, 405, "METHOD_NOT_ALLOWED", ""},
	{"PUT to a collection", "PUT /v1/nameplates", nil, "", 405, "METHOD_NOT_ALLOWED", ""},
	{"GET of a nameplate", "GET /v1/nameplates/41", nil, "", 405, "METHOD_NOT_ALLOWED", ""},
	{"GET of the handshake", "GET /v1/sessions", nil, "", 405, "METHOD_NOT_ALLOWED", ""},
	{"POST to a mailbox", "POST /v1/mailboxes/ours", nil, `{}`, 405, "METHOD_NOT_ALLOWED", ""},
	{"DELETE of the log", "DELETE /v1/mailboxes/ours/messages", nil, "", 405, "METHOD_NOT_ALLOWED", ""},
	{"OPTIONS", "OPTIONS /v1/session", nil, "", 405, "METHOD_NOT_ALLOWED", ""},
	{"TRACE", "TRACE /v1/status", nil, "", 405, "METHOD_NOT_ALLOWED", ""},
	{"a made-up method", "BREW /v1/session", nil, "", 405, "METHOD_NOT_ALLOWED", ""},
	{"a method in another case", "get /v1/session", nil, "", 405, "METHOD_NOT_ALLOWED", ""},
	{"PATCH of an encoded path", "PATCH /v1/nameplates/4%2F5", nil, `{}`, 405, "METHOD_NOT_ALLOWED", ""},
	{"POST to the probes", "POST /livez", nil, `{}`, 405, "METHOD_NOT_ALLOWED", ""},
	{"DELETE of the home page", "DELETE /", nil, "", 405, "METHOD_NOT_ALLOWED", ""},
}

// What is well-formed and refused for what is there, without a number, which it would use up.
var badStates = []bad{
	{"adding to a mailbox of another side", "POST /v1/mailboxes/own/messages", nil, `{"phase": "p", "body": "b"}`, 403, "NOT_OPEN", ""},
	{"adding to a mailbox of another app", "POST /v1/mailboxes/theirs/messages", nil, `{"phase": "p", "body": "b"}`, 403, "NOT_OPEN", ""},
	{"adding to no mailbox", "POST /v1/mailboxes/none/messages", nil, `{"phase": "p", "body": "b"}`, 403, "NOT_OPEN", ""},
	{"looking at a mailbox of another side", "GET /v1/mailboxes/own", nil, "", 404, "NOT_FOUND", ""},
	{"looking at a mailbox of another app", "GET /v1/mailboxes/theirs", nil, "", 404, "NOT_FOUND", ""},
	{"reading a mailbox of another side", "GET /v1/mailboxes/own/messages", nil, "", 404, "NOT_FOUND", ""},
	{"reading a mailbox of another app", "GET /v1/mailboxes/theirs/messages", nil, "", 404, "NOT_FOUND", ""},
	{"a nameplate that was released", "PUT /v1/nameplates/42", nil, "", 409, "RECLAIMED", ""},
}
