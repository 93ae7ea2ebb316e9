package token

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json"
)

const (
	minSecret  = 32   // bytes: as many as the hash of HS256 has (RFC 7518, §3.2)
	minRSABits = 2048 // RFC 7518, §3.3
)

// keys are what signatures are verified with.
type keys struct {
	secret []byte            // of HS256; nil: none
	public []jose.JSONWebKey // of the other algorithms
}

// algorithms returns the algorithms that there are keys for. A token that names any other, "none" among
// them, is not even parsed. So a public key is never taken for a secret.
func (k *keys) algorithms() (list []jose.SignatureAlgorithm) {
	if k.secret != nil {
		list = append(list, jose.HS256)
	}
	for _, key := range k.public {
		list = append(list, algorithmOf(key.Key))
	}
	return list
}

// candidates returns the keys that a signature may be of: those for its algorithm, and of the id that
// the token names, if it names one.
func (k *keys) candidates(h jose.Header) (list []any) {
	if h.Algorithm == string(jose.HS256) {
		return []any{k.secret}
	}
	for _, key := range k.public {
		if h.Algorithm == string(algorithmOf(key.Key)) && (h.KeyID == "" || key.KeyID == "" || h.KeyID == key.KeyID) {
			list = append(list, key.Key)
		}
	}
	return list
}

// algorithmOf returns the algorithm for which a public key is used, or "" if there is none.
func algorithmOf(key any) jose.SignatureAlgorithm {
	switch key := key.(type) {
	case *rsa.PublicKey:
		if key.N.BitLen() >= minRSABits {
			return jose.RS256
		}
	case *ecdsa.PublicKey:
		if key.Curve == elliptic.P256() {
			return jose.ES256
		}
	case ed25519.PublicKey:
		return jose.EdDSA
	}
	return ""
}

// readSecret reads a secret: the bytes of a file, without the line break at its end.
func readSecret(file string) ([]byte, error) {
	secret, err := os.ReadFile(file) // #nosec G304 -- the operator names it
	if err != nil {
		return nil, err
	}
	secret = bytes.TrimRight(secret, "\r\n")
	if len(secret) < minSecret {
		return nil, fmt.Errorf("%s: the secret has %d bytes, and needs at least %d (openssl rand -hex 32)", file, len(secret), minSecret)
	}
	return secret, nil
}

// errPrivate is the error of a set that must not be where it is.
var errPrivate = errors.New("it is a private key or a secret; only public ones belong here")

// readPublicKeys reads a JSON Web Key Set. Keys that are not for signatures are left out, and so are, as RFC 7517 has it in
// §5, those that cannot be used here: an issuer may have keys of several kinds.
func readPublicKeys(file string, log *slog.Logger) (list []jose.JSONWebKey, err error) {
	text, err := os.ReadFile(file) // #nosec G304 -- the operator names it
	if err != nil {
		return nil, err
	}
	text = bytes.TrimPrefix(text, []byte("\ufeff")) // a byte order mark, which some editors write
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(text, &set); err != nil {
		return nil, fmt.Errorf("%s is no JSON Web Key Set: %w", file, err)
	}
	var unused error
	for i, raw := range set.Keys {
		switch key, err := publicKey(raw); {
		case errors.Is(err, errPrivate):
			return nil, fmt.Errorf("%s, key %d: %w", file, i+1, err)
		case err != nil:
			log.Warn("a key of tokens cannot be used", "file", file, "key", i+1, "error", err)
			unused = fmt.Errorf("key %d: %w", i+1, err)
		case key != nil:
			list = append(list, *key)
		}
	}
	switch {
	case len(list) > 0:
		return list, nil
	case unused != nil:
		return nil, fmt.Errorf("%s has no key for signatures that can be used here; %w", file, unused)
	}
	return nil, fmt.Errorf("%s has no key for signatures", file)
}

// publicKey returns a key, or nil if it is not for signatures.
func publicKey(raw []byte) (*jose.JSONWebKey, error) {
	var key jose.JSONWebKey
	if err := json.Unmarshal(raw, &key); err != nil {
		return nil, err
	}
	if key.Use != "" && key.Use != "sig" {
		return nil, nil //nolint:nilnil // there is none, and that is no error
	}
	if !key.IsPublic() {
		return nil, errPrivate
	}
	algorithm := algorithmOf(key.Key)
	if algorithm == "" || key.Algorithm != "" && key.Algorithm != string(algorithm) {
		return nil, fmt.Errorf("it is none of RS256 (with %d bits or more), ES256 and EdDSA", minRSABits)
	}
	return &key, nil
}
