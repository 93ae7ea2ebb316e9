package token

import (
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4/jwt"
)

// Config says which tokens are valid.
type Config struct {
	SecretFile string       // the secret of HS256; "" for none
	JWKSFile   string       // a JSON Web Key Set of public keys for RS256, ES256 and EdDSA; "" for none
	Audiences  []string     // a token must name one of them; if there is none, it must name none
	Issuers    []string     // a token must be of one of them; if there is none, of any or none
	Log        *slog.Logger // must be set if there is a JWKSFile
}

// Enabled reports whether tokens are asked for.
func (c Config) Enabled() bool { return c.SecretFile != "" || c.JWKSFile != "" }

// Check refuses a configuration that says less than was meant.
func (c Config) Check() error {
	if !c.Enabled() && len(c.Audiences)+len(c.Issuers) > 0 {
		return errors.New("--token-audience and --token-issuer need --token-secret-file or --token-jwks")
	}
	return nil
}

// Claims is what a valid token says.
type Claims struct {
	App     string
	Side    string // empty: any
	Expires time.Time
}

// The reasons for which a token is refused. They are for the client.
var (
	errForm      = errors.New("the token is no signed JSON Web Token of an algorithm that is taken here")
	errSignature = errors.New("the token is signed by no key that is known here")
	errClaims    = errors.New("the token's claims cannot be read")
	errNoExpiry  = errors.New("the token does not say when it expires ('exp')")
	errExpired   = errors.New("the token has expired")
	errTooEarly  = errors.New("the token is not valid yet ('nbf')")
	errAudience  = errors.New("the token is for another audience ('aud')")
	errIssuer    = errors.New("the token is of another issuer ('iss')")
	errNoApp     = errors.New("the token does not say for which app it is ('appId')")
	errSide      = errors.New("the token's side ('side') is none that a client may have")
)

const (
	maxToken = 4 << 10 // bytes
	// skew is how far the issuer's clock may be ahead.
	skew = time.Minute
)

// latest is the last second of the year 9999, where times end.
var latest = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)

// sideOfClient matches the sides that a client may have, besides those that are derived from a secret: see the contract.
var sideOfClient = regexp.MustCompile(`^[A-Za-z0-9._~-]{1,64}$`)

// reservedSide begins the sides that are derived from a secret.
const reservedSide = "k."

// Verifier verifies tokens. It is safe for concurrent use.
type Verifier struct {
	config Config
	keys   atomic.Pointer[keys]
}

// NewVerifier reads the keys.
func NewVerifier(c Config) (*Verifier, error) {
	v := &Verifier{config: c}
	if err := v.Reload(); err != nil {
		return nil, err
	}
	return v, nil
}

// Reload reads the keys again. If that fails, those that were read before stay.
func (v *Verifier) Reload() error {
	var fresh keys
	var err error
	if v.config.SecretFile != "" {
		if fresh.secret, err = readSecret(v.config.SecretFile); err != nil {
			return fmt.Errorf("--token-secret-file: %w", err)
		}
	}
	if v.config.JWKSFile != "" {
		if fresh.public, err = readPublicKeys(v.config.JWKSFile, v.config.Log); err != nil {
			return fmt.Errorf("--token-jwks: %w", err)
		}
	}
	v.keys.Store(&fresh)
	return nil
}

// claims are those that count.
type claims struct {
	jwt.Claims

	App  string `json:"appId"`
	Side string `json:"side"`
}

// Verify returns what a token says at now, or why it is not valid. The error is for the client.
func (v *Verifier) Verify(token string, now time.Time) (Claims, error) {
	known := v.keys.Load()
	if len(token) > maxToken {
		return Claims{}, errForm
	}
	parsed, err := jwt.ParseSigned(token, known.algorithms())
	if err != nil || len(parsed.Headers) != 1 {
		return Claims{}, errForm
	}
	var said claims
	if err := verified(parsed, known, &said); err != nil {
		return Claims{}, err
	}
	if err := v.valid(&said, now); err != nil {
		return Claims{}, err
	}
	expires := said.Expiry.Time()
	if expires.After(latest) {
		expires = latest
	}
	return Claims{App: said.App, Side: said.Side, Expires: expires}, nil
}

// verified reads the claims of a token that is signed by one of the keys.
func verified(parsed *jwt.JSONWebToken, known *keys, into *claims) error {
	for _, key := range known.candidates(parsed.Headers[0]) {
		if parsed.Claims(key) != nil {
			continue // it is not signed by this one
		}
		if err := parsed.Claims(key, into); err != nil {
			return errClaims
		}
		return nil
	}
	return errSignature
}

// valid holds the claims against what is asked for.
func (v *Verifier) valid(c *claims, now time.Time) error {
	named := func(audience string) bool { return slices.Contains(c.Audience, audience) }
	switch {
	case c.Expiry == nil:
		return errNoExpiry
	case !now.Before(c.Expiry.Time()):
		return errExpired
	case c.NotBefore != nil && now.Add(skew).Before(c.NotBefore.Time()):
		return errTooEarly
	case len(v.config.Audiences) == 0 && len(c.Audience) > 0, // RFC 7519, §4.1.3
		len(v.config.Audiences) > 0 && !slices.ContainsFunc(v.config.Audiences, named):
		return errAudience
	case len(v.config.Issuers) > 0 && !slices.Contains(v.config.Issuers, c.Issuer):
		return errIssuer
	case c.App == "":
		return errNoApp
	case c.Side != "" && (!sideOfClient.MatchString(c.Side) || strings.HasPrefix(c.Side, reservedSide)):
		return errSide
	}
	return nil
}
