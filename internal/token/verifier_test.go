package token_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"restante/internal/token"
)

var (
	now    = time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	secret = []byte(strings.Repeat("s", 32))
)

// claim is what a token of these tests says.
type claim map[string]any

// valid are claims that are taken, with changes; nil removes a claim.
func valid(changes claim) claim {
	c := claim{"appId": "example.org/chat", "side": "3f9c21", "exp": now.Add(time.Hour).Unix(), "aud": "mail", "iss": "example"}
	for name, value := range changes {
		if value == nil {
			delete(c, name)
		} else {
			c[name] = value
		}
	}
	return c
}

func sign(t *testing.T, alg jose.SignatureAlgorithm, key any, kid string, c any) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: jose.JSONWebKey{Key: key, KeyID: kid}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	payload, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	text, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// file writes a file and returns its name.
func file(t *testing.T, content any) string {
	t.Helper()
	text, is := content.([]byte)
	if !is {
		var err error
		if text, err = json.Marshal(content); err != nil {
			t.Fatal(err)
		}
	}
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func newVerifier(t *testing.T, c token.Config) *token.Verifier {
	t.Helper()
	v, err := token.NewVerifier(c)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func withSecret(t *testing.T) *token.Verifier {
	t.Helper()
	return newVerifier(t, token.Config{SecretFile: file(t, append(secret, '\n')), Audiences: []string{"mail", "post"}, Issuers: []string{"example"}})
}

func TestAValidToken(t *testing.T) {
	v := withSecret(t)
	for name, changes := range map[string]claim{
		"as it is":           {},
		"two audiences":      {"aud": []string{"other", "post"}},
		"valid from now on":  {"nbf": now.Unix()},
		"the issuer is fast": {"nbf": now.Add(30 * time.Second).Unix()},
		"other claims":       {"sub": "me", "roles": []string{"x"}},
	} {
		got, err := v.Verify(sign(t, jose.HS256, secret, "", valid(changes)), now)
		want := token.Claims{App: "example.org/chat", Side: "3f9c21", Expires: now.Add(time.Hour)}
		if err != nil || !got.Expires.Equal(want.Expires) || got.App != want.App || got.Side != want.Side {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	got, err := v.Verify(sign(t, jose.HS256, secret, "", valid(claim{"side": nil, "exp": int64(1) << 60})), now)
	if err != nil || got.Side != "" || got.Expires.Year() != 9999 {
		t.Errorf("without a side and an end: %+v, %v", got, err)
	}
}

func TestATokenIsRefused(t *testing.T) {
	v := withSecret(t)
	part := func(v any) string {
		text, _ := json.Marshal(v)
		return base64.RawURLEncoding.EncodeToString(text)
	}
	good := sign(t, jose.HS256, secret, "", valid(nil))
	head, payload, _ := strings.Cut(good, ".")
	_, signature, _ := strings.Cut(payload, ".")
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct{ token, want string }{
		"nothing":                     {"", "no signed"},
		"a text":                      {"let me in", "no signed"},
		"alg none":                    {part(claim{"alg": "none"}) + "." + part(valid(nil)) + ".", "no signed"},
		"alg NONE":                    {part(claim{"alg": "NONE"}) + "." + part(valid(nil)) + ".", "no signed"},
		"alg none with a signature":   {part(claim{"alg": "none"}) + "." + part(valid(nil)) + "." + signature, "no signed"},
		"no signature":                {head + "." + part(valid(nil)) + ".", "no key"},
		"other claims, one signature": {head + "." + part(valid(claim{"side": "admin"})) + "." + signature, "no key"},
		"another secret":              {sign(t, jose.HS256, []byte(strings.Repeat("x", 32)), "", valid(nil)), "no key"},
		"another algorithm":           {sign(t, jose.HS512, []byte(strings.Repeat("s", 64)), "", valid(nil)), "no signed"},
		"an algorithm without a key":  {sign(t, jose.ES256, ec, "", valid(nil)), "no signed"},
		"too long":                    {sign(t, jose.HS256, secret, "", valid(claim{"x": strings.Repeat("x", 4<<10)})), "no signed"},
		"claims that are no object":   {sign(t, jose.HS256, secret, "", []int{1}), "cannot be read"},
		"an exp that is no number":    {sign(t, jose.HS256, secret, "", valid(claim{"exp": "soon"})), "cannot be read"},
		"an app that is no string":    {sign(t, jose.HS256, secret, "", valid(claim{"appId": 7})), "cannot be read"},
		"no exp":                      {sign(t, jose.HS256, secret, "", valid(claim{"exp": nil})), "'exp'"},
		"expired":                     {sign(t, jose.HS256, secret, "", valid(claim{"exp": now.Unix()})), "expired"},
		"not valid yet":               {sign(t, jose.HS256, secret, "", valid(claim{"nbf": now.Add(2 * time.Minute).Unix()})), "not valid yet"},
		"another audience":            {sign(t, jose.HS256, secret, "", valid(claim{"aud": []string{"other"}})), "audience"},
		"no audience":                 {sign(t, jose.HS256, secret, "", valid(claim{"aud": nil})), "audience"},
		"another issuer":              {sign(t, jose.HS256, secret, "", valid(claim{"iss": "other"})), "issuer"},
		"no issuer":                   {sign(t, jose.HS256, secret, "", valid(claim{"iss": nil})), "issuer"},
		"no app":                      {sign(t, jose.HS256, secret, "", valid(claim{"appId": nil})), "app"},
		"a side of a secret":          {sign(t, jose.HS256, secret, "", valid(claim{"side": "k.abc"})), "side"},
		"a side that cannot be":       {sign(t, jose.HS256, secret, "", valid(claim{"side": "a b"})), "side"},
	} {
		got, err := v.Verify(tt.token, now)
		if err == nil || !strings.Contains(err.Error(), tt.want) || got != (token.Claims{}) {
			t.Errorf("%s: %+v, %v; want an error with %q", name, got, err, tt.want)
		}
	}
	unnamed := newVerifier(t, token.Config{SecretFile: file(t, secret)})
	if _, err := unnamed.Verify(good, now); err == nil || !strings.Contains(err.Error(), "audience") {
		t.Errorf("a token for an audience, where there is none: %v", err)
	}
	if _, err := unnamed.Verify(sign(t, jose.HS256, secret, "", valid(claim{"aud": nil})), now); err != nil {
		t.Error(err)
	}
}

func TestPublicKeys(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	edPublic, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, strange, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	jwks := file(t, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{
		{Key: &rsaKey.PublicKey, KeyID: "r", Use: "sig", Algorithm: "RS256"},
		{Key: &ecKey.PublicKey, KeyID: "e"},
		{Key: edPublic},
		{Key: &rsaKey.PublicKey, KeyID: "other", Use: "enc"},
	}})
	v := newVerifier(t, token.Config{JWKSFile: jwks, SecretFile: file(t, secret), Audiences: []string{"mail"}, Log: slog.New(slog.DiscardHandler)})
	for name, tt := range map[string]struct {
		alg jose.SignatureAlgorithm
		key any
		kid string
		ok  bool
	}{
		"RS256":                        {jose.RS256, rsaKey, "r", true},
		"RS256 without an id":          {jose.RS256, rsaKey, "", true},
		"RS256 with the id of another": {jose.RS256, rsaKey, "e", false},
		"ES256":                        {jose.ES256, ecKey, "e", true},
		"EdDSA":                        {jose.EdDSA, edKey, "any", true},
		"HS256 beside them":            {jose.HS256, secret, "", true},
		"a key that is not known":      {jose.EdDSA, strange, "", false},
		"PS256":                        {jose.PS256, rsaKey, "r", false},
		"the public key as a secret":   {jose.HS256, rsaKey.PublicKey.N.Bytes(), "r", false},
	} {
		_, err := v.Verify(sign(t, tt.alg, tt.key, tt.kid, valid(nil)), now)
		if (err == nil) != tt.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
	text, err := os.ReadFile(jwks)
	if err != nil {
		t.Fatal(err)
	}
	newVerifier(t, token.Config{JWKSFile: file(t, append([]byte("\ufeff"), text...)), Log: slog.New(slog.DiscardHandler)}) // which some editors write
	for name, content := range map[string]any{
		"no JSON":             []byte("x"),
		"no key":              jose.JSONWebKeySet{},
		"a private key":       jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: edKey}}},
		"a secret":            jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: secret}}},
		"none for signatures": jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: edPublic, Use: "enc"}}},
		"another algorithm":   jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: &rsaKey.PublicKey, Algorithm: "PS256"}}},
	} {
		if _, err := token.NewVerifier(token.Config{JWKSFile: file(t, content), Log: slog.New(slog.DiscardHandler)}); err == nil || !strings.Contains(err.Error(), "--token-jwks") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := token.NewVerifier(token.Config{SecretFile: file(t, []byte("short\n"))}); err == nil || !strings.Contains(err.Error(), "at least 32") {
		t.Errorf("a short secret: %v", err)
	}
	if err := (token.Config{Audiences: []string{"x"}}).Check(); err == nil {
		t.Error("an audience alone asks for no token")
	}
}

// Keys of a kind that is not known here may stand beside the others.
func TestKeysOfOtherKindsAreLeftOut(t *testing.T) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	known, err := json.Marshal(jose.JSONWebKey{Key: public})
	if err != nil {
		t.Fatal(err)
	}
	others := `{"kty":"AKP","alg":"ML-DSA-44","pub":"AA"},{"kty":"EC","crv":"secp256k1","x":"AA","y":"AA"},{"kty":"RSA"},`
	var log bytes.Buffer
	v := newVerifier(t, token.Config{JWKSFile: file(t, []byte(`{"keys":[`+others+string(known)+`]}`)), Log: slog.New(slog.NewTextHandler(&log, nil))})
	if _, err := v.Verify(sign(t, jose.EdDSA, private, "", valid(claim{"aud": nil})), now); err != nil {
		t.Errorf("a token of the known key: %v", err)
	}
	if n := strings.Count(log.String(), "a key of tokens cannot be used"); n != 3 {
		t.Errorf("%d keys are said to be left out:\n%s", n, log.String())
	}
	if _, err := token.NewVerifier(token.Config{JWKSFile: file(t, []byte(`{"keys":[{"kty":"AKP"}]}`)), Log: slog.New(slog.DiscardHandler)}); err == nil || !strings.Contains(err.Error(), "key 1") {
		t.Errorf("a set with nothing else: %v", err)
	}
}

func TestKeysAreReadAgain(t *testing.T) {
	name := file(t, secret)
	v := newVerifier(t, token.Config{SecretFile: name, Audiences: []string{"mail"}})
	old, fresh := sign(t, jose.HS256, secret, "", valid(nil)), sign(t, jose.HS256, []byte(strings.Repeat("n", 32)), "", valid(nil))
	if err := os.WriteFile(name, []byte("broken"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := v.Reload(); err == nil {
		t.Error("a broken file is taken")
	}
	if _, err := v.Verify(old, now); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(name, []byte(strings.Repeat("n", 32)), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := v.Reload(); err != nil {
		t.Fatal(err)
	}
	if _, err := v.Verify(old, now); err == nil {
		t.Error("the secret of before is still taken")
	}
	if _, err := v.Verify(fresh, now); err != nil {
		t.Error(err)
	}
}
