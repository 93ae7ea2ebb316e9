package webhooks

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strconv"
	"strings"
	"time"
)

// secretPrefix begins each secret, as Standard Webhooks has it.
const secretPrefix = "whsec_"

// secret is a key that the receiver has, too. It is not printed.
type secret struct{ key []byte }

// UnmarshalText reads a secret such as whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw: 24 to 64 bytes in base64.
func (s *secret) UnmarshalText(text []byte) error {
	encoded, ok := strings.CutPrefix(string(text), secretPrefix)
	key, err := base64.StdEncoding.DecodeString(encoded)
	if !ok || err != nil || len(key) < 24 || len(key) > 64 {
		return errors.New(`a secret is "whsec_" and 24 to 64 random bytes in base64: echo "whsec_$(openssl rand -base64 32)"`)
	}
	s.key = key
	return nil
}

// String hides the secret.
func (secret) String() string { return secretPrefix + "…" }

// sign returns the value of the header webhook-signature: a signature for each secret, so that a receiver can
// change from one to the next.
func sign(secrets []secret, id string, at time.Time, body []byte) string {
	signatures := make([]string, len(secrets))
	for i, s := range secrets {
		mac := hmac.New(sha256.New, s.key)
		mac.Write([]byte(id + "." + strconv.FormatInt(at.Unix(), 10) + "."))
		mac.Write(body)
		signatures[i] = "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	}
	return strings.Join(signatures, " ")
}
