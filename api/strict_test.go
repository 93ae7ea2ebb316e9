package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/go-chi/chi/v5"
	"pgregory.net/rapid"

	"restante/api"
)

// recorder keeps what the generated code hands to a handler, or refuses to.
type recorder struct {
	api.StrictServerInterface // nil: only what is overridden is called
	called                    bool
	claim                     *api.Lifetime
	draft                     *api.Draft
	hello                     *api.Handshake
	err                       error
}

func (rec *recorder) ClaimNameplate(_ context.Context, r api.ClaimNameplateRequestObject) (api.ClaimNameplateResponseObject, error) {
	rec.called, rec.claim = true, r.Body
	return api.ClaimNameplate200JSONResponse{Nameplate: r.Nameplate, Mailbox: "m"}, nil
}

func (rec *recorder) AddMessage(_ context.Context, r api.AddMessageRequestObject) (api.AddMessageResponseObject, error) {
	var draft api.Draft // a message or a list of messages: the handler decodes it
	if err := api.DecodeJSON(bytes.NewReader(*r.Body), &draft); err != nil {
		return nil, err
	}
	rec.called, rec.draft = true, &draft
	return api.AddMessage201JSONResponse{Position: 1}, nil
}

func (rec *recorder) BeginSession(_ context.Context, r api.BeginSessionRequestObject) (api.BeginSessionResponseObject, error) {
	rec.called, rec.hello = true, r.Body
	return api.BeginSession201JSONResponse{}, nil
}

func (rec *recorder) Receive(context.Context, api.ReceiveRequestObject) (api.ReceiveResponseObject, error) {
	return api.Receive200JSONResponse{Frames: []api.Frame{api.Frame(`{"seq":0,"type":"opened","mailbox":"m","side":"s"}`)}}, nil
}

func (rec *recorder) serve(method, path, body string, limit int64) *httptest.ResponseRecorder {
	refuse := func(w http.ResponseWriter, _ *http.Request, err error) {
		rec.err = err
		w.WriteHeader(http.StatusBadRequest)
	}
	mux := api.HandlerWithOptions(api.NewStrictHandlerWithOptions(rec, nil, api.StrictHTTPServerOptions{
		RequestErrorHandlerFunc: refuse, ResponseErrorHandlerFunc: refuse,
	}), api.ChiServerOptions{BaseRouter: chi.NewRouter(), ErrorHandlerFunc: refuse})
	w := httptest.NewRecorder()
	r := httptest.NewRequestWithContext(context.Background(), method, path, strings.NewReader(body))
	r.Body = http.MaxBytesReader(w, r.Body, limit)
	mux.ServeHTTP(w, r)
	return w
}

func TestOptionalBody(t *testing.T) {
	for body, want := range map[string]string{
		"":                      `null`,
		" \n":                   `null`,
		"{}":                    `{}`,
		`{"ttlMs": 5}`:          `{"ttlMs":5}`,
		`{"ttlMs": 5} `:         `{"ttlMs":5}`,
		`{"ttlMs": 5`:           "refused",
		`{"ttlMs": 5} {}`:       "refused",
		`{"ttlMs": 5}}`:         "refused",
		`{"ttlMs": 5, "x": 1}`:  "refused",
		`{"TTLMS": 5}`:          "refused",
		`{"ttlMs": 5.0}`:        `{"ttlMs":5}`,
		`{"ttlMs": 50e-1}`:      `{"ttlMs":5}`,
		`{"ttlMs": 5.5}`:        "refused",
		`{"ttlMs": "5"}`:        "refused",
		`{"ttlMs": null}`:       "refused",
		`{"ttlMs":1,"ttlMs":2}`: "refused",
		`null`:                  "refused",
		`[]`:                    "refused",
	} {
		t.Run(body, func(t *testing.T) {
			var rec recorder
			rec.serve("PUT", "/v1/nameplates/4", body, 1<<10)
			got := "refused"
			if rec.called {
				text, _ := json.Marshal(rec.claim)
				got = string(text)
			}
			if got != want {
				t.Errorf("got %s (%v), want %s", got, rec.err, want)
			}
		})
	}
}

// An integer is whatever number has no fraction, as in JSON Schema: some languages write a counter as 1.0.
func TestIntegersAreReadAsJSONSchemaHasThem(t *testing.T) {
	t.Parallel()
	digits := rapid.StringMatching(`(0|[1-9][0-9]{0,4}0{0,16})`)
	rapid.Check(t, func(t *rapid.T) {
		number := rapid.SampledFrom([]string{"", "-"}).Draw(t, "sign") + digits.Draw(t, "whole") +
			rapid.StringMatching(`(\.(0{1,5}|[0-9]{1,5}))?`).Draw(t, "fraction") + rapid.StringMatching(`([eE][+-]?[0-9]{1,2})?`).Draw(t, "exponent")
		exact, ok := new(big.Rat).SetString(number)
		if !ok {
			t.Fatalf("%s is no number", number)
		}
		var got int64
		err := api.DecodeJSON(strings.NewReader(number), &got)
		if is := exact.IsInt() && exact.Num().IsInt64(); is != (err == nil) || is && got != exact.Num().Int64() {
			t.Fatalf("%s is read as %d (%v)", number, got, err)
		}
	})
	for _, number := range []string{"1e999999999999", "1e-999999999999", "-1e400", "9223372036854775808", "0.1e-400"} {
		if err := api.DecodeJSON(strings.NewReader(number), new(int64)); err == nil {
			t.Errorf("%s is read as an integer of 64 bits", number)
		}
	}
	for _, number := range []string{"0e999999999999", "-0.0E-999999999999"} {
		got := int64(1)
		if err := api.DecodeJSON(strings.NewReader(number), &got); err != nil || got != 0 {
			t.Errorf("%s is read as %d (%v)", number, got, err)
		}
	}
}

func TestRequiredBody(t *testing.T) {
	for body, want := range map[string]bool{
		`{"phase": "p", "body": ""}`:                true,
		`{"phase": "p", "body": "\u0000"}`:          true,
		"":                                          false,
		`{"phase": "p", "body": null}`:              false,
		"{\"phase\": \"p\", \"body\": \"\xff\"}":    false,
		`{"phase": "p", "body": "\ud800"}`:          false,
		`{"phase": "p", "Body": "case matters"}`:    false,
		`{"phase": "p", "body": "", "phase": "q"}`:  false,
		`{"phase": "p", "body": "", "unknown": ""}`: false,
	} {
		t.Run(body, func(t *testing.T) {
			var rec recorder
			rec.serve("POST", "/v1/mailboxes/m/messages", body, 1<<10)
			if rec.called != want {
				t.Errorf("accepted: %v (%v)", rec.called, rec.err)
			}
			if rec.called && rec.draft.Body == nil {
				t.Error("an empty body looks like a missing one")
			}
		})
	}
}

func TestMissingIsNotZero(t *testing.T) {
	var rec recorder
	rec.serve("POST", "/v1/sessions", `{"expectedSessionState": {"nextSentSeq": 0}, "metadata": {"deep": [null, {"a": 1}]}}`, 1<<10)
	if rec.hello == nil {
		t.Fatal(rec.err)
	}
	state := rec.hello.ExpectedSessionState
	if state == nil || state.NextSentSeq == nil || state.NextExpectedSeq != nil || rec.hello.ProtocolVersion != nil {
		t.Errorf("%+v", rec.hello)
	}
	if got := string(rec.hello.Metadata); got != `{"deep": [null, {"a": 1}]}` {
		t.Errorf("metadata is %s", got)
	}
}

func TestBodyErrorsKeepTheirCause(t *testing.T) {
	var rec recorder
	rec.serve("POST", "/v1/mailboxes/m/messages", `{"phase": "p", "body": "too long"}`, 10)
	if _, ok := errors.AsType[*http.MaxBytesError](rec.err); !ok {
		t.Errorf("%v is no MaxBytesError", rec.err)
	}
	rec.serve("POST", "/v1/sessions", `{"metadata": null}`, 1<<10)
	if !errors.Is(rec.err, api.ErrNull) {
		t.Errorf("%v is no ErrNull", rec.err)
	}
}

func TestFramesAreSentAsStored(t *testing.T) {
	w := (&recorder{}).serve("GET", "/v1/session/events", "", 0)
	if !strings.Contains(w.Body.String(), `"frames":[{"seq":0,"type":"opened","mailbox":"m","side":"s"}]`) {
		t.Error(w.Body)
	}
}

// BenchmarkDecodeJSON reads a message.
func BenchmarkDecodeJSON(b *testing.B) {
	text := []byte(`{"phase":"pake","body":"` + strings.Repeat("x", 256) + `"}`)
	b.ReportAllocs()
	for b.Loop() {
		var draft api.Draft
		if err := api.DecodeJSON(bytes.NewReader(text), &draft); err != nil {
			b.Fatal(err)
		}
	}
}
