package session

import "time"

// Token is what is known of the token with which a client was admitted. The zero Token stands for none.
type Token struct {
	// Expires is when it expires.
	Expires time.Time
	// AskAt is when the client is to be asked for a newer one; zero once it was asked.
	AskAt time.Time
}

// Lapsed reports whether there is a token that has expired.
func (t Token) Lapsed(now time.Time) bool { return !t.Expires.IsZero() && !now.Before(t.Expires) }

// Newer returns the token that expires later.
func (t Token) Newer(other Token) Token {
	if other.Expires.After(t.Expires) {
		return other
	}
	return t
}

// lapse returns when a session ends because its token expired while its client was present, and sent no
// newer one. ok is false if it does not end for that: a client that is away cannot answer, so its session
// waits for a handshake with a new token. It is present by what is known: that it may have been there ends nothing.
func (r Record) lapse(t Timing) (at time.Time, ok bool) {
	seen := r.Seen
	if !r.Known.IsZero() {
		seen = r.Known
	}
	if r.Token.Expires.IsZero() || !seen.Add(t.Silence()).After(r.Token.Expires) {
		return time.Time{}, false
	}
	if r.Token.Expires.Before(t.BootGraceUntil) {
		return t.BootGraceUntil, true // the client could not reach the server
	}
	return r.Token.Expires, true
}
