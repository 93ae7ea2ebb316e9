package handlers

import (
	"context"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// What earlier versions have stored for a command matches its repeat, also if the server was upgraded between the two.
// Only a text that could be JSON has another fingerprint than it had.
func TestStoredFingerprintsStillMatch(t *testing.T) {
	const path, json = "/v1/mailboxes/m/messages", `{"phase":"p","body":"b"}`
	for name, tt := range map[string]struct{ target, media, body, want string }{
		"JSON":                         {path, "application/json", json, "5dc383f36be2fd4ecac0ba1acfc111761c7949db3f14e61e2501dd86a9391ee8"},
		"JSON after a byte order mark": {path, "application/json", "\ufeff" + json, "f5481e99439262c05daba3d8e84aa4b82623e229c879729d8038f13efb8cfc44"},
		"a text":                       {path + "?open=true", "text/plain", "21.5 degrees", "8183d5609a072812db95e7b3019b524a996fcddc35bf6266c943b9dddedf47cd"},
		"JSON with its phase":          {path + "?phase=p", "application/json", json, "5cd86aa8b00104fc4de0acfee074218db701a811cfad0d82362f42c9aa60804d"},
		"a text with its phase":        {path + "?phase=p", "text/plain", json, "5cd86aa8b00104fc4de0acfee074218db701a811cfad0d82362f42c9aa60804d"},
		"a text that could be JSON":    {path, "text/plain", json, "5d7d9cb1fc36fa03ced2fbb99d12aaecb55eefa64924c844ca7947a7e06d2fad"},
		"after a byte order mark":      {path, "text/plain", "\ufeff \n" + json, "0afa4f7177c0d2c13725f6bfa36852e30d16fb6bfbc718847a1c46f3e5517601"},
	} {
		t.Run(name, func(t *testing.T) {
			info := &requestInfo{}
			r := httptest.NewRequestWithContext(context.WithValue(t.Context(), requestInfoKey{}, info), http.MethodPost, tt.target, strings.NewReader(tt.body))
			r.Header.Set("Content-Type", tt.media)
			s := &Server{Limits: DefaultLimits()}
			s.readMessage(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})).ServeHTTP(httptest.NewRecorder(), r)
			if got := hex.EncodeToString(info.content.fingerprint[:]); got != tt.want {
				t.Errorf("the fingerprint is %s, want %s", got, tt.want)
			}
		})
	}
}
