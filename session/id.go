package session

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"log/slog"
	"unique"
)

// ErrMalformedID reports that a text is no session id.
var ErrMalformedID = errors.New("a session id is 22 to 64 characters of A-Z, a-z, 0-9, '_' and '-'")

// ID is a session's id. It is also the credential: a request that has it comes from the client. It
// never appears in a log: printing an ID shows only the prefix of its key.
//
// Reflection does not print it either. That is how fmt reaches the unexported fields of a request that
// holds an ID, without calling a String method. So the text is behind a pointer, in a handle that is
// equal if the text is.
type ID struct{ secret unique.Handle[string] }

// NewID returns a new id of 192 random bits.
func NewID() ID {
	var b [24]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand aborts the program rather than return short
	return ID{unique.Make(base64.RawURLEncoding.EncodeToString(b[:]))}
}

// ParseID parses [A-Za-z0-9_-]{22,64}. For everything else it returns [ErrMalformedID].
func ParseID(s string) (ID, error) {
	if len(s) < 22 || len(s) > 64 {
		return ID{}, ErrMalformedID
	}
	for i := range len(s) {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '_', c == '-':
		default:
			return ID{}, ErrMalformedID
		}
	}
	return ID{unique.Make(s)}, nil
}

// Reveal returns the id itself, for the one reply that tells a client its own id.
func (id ID) Reveal() string {
	if id == (ID{}) {
		return "" // the zero handle has no value to ask for
	}
	return id.secret.Value()
}

// Key returns what the server keeps of an id: its SHA-256. A stolen database holds no credentials.
func (id ID) Key() Key { return sha256.Sum256([]byte(id.Reveal())) }

// String returns the short form of the key, which is safe to print.
func (id ID) String() string { return id.Key().String() }

// LogValue returns the short form of the key, which is safe to log.
func (id ID) LogValue() slog.Value { return slog.StringValue(id.String()) }

// Key names a session inside the server.
type Key [sha256.Size]byte

// String returns the key's first 48 bits in hexadecimal: enough to follow a session through a log,
// useless as a credential.
func (k Key) String() string { return hex.EncodeToString(k[:6]) }

// LogValue returns the same short form.
func (k Key) LogValue() slog.Value { return slog.StringValue(k.String()) }
