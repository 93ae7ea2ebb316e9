package session_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"restante/session"
)

// withToken returns the record of these tests with a token that expires so long after the last sign of life.
func withToken(d time.Duration) session.Record {
	r := record
	r.Token = session.Token{Expires: after(d)}
	return r
}

func TestTheStateOfASessionWithAToken(t *testing.T) {
	const (
		lost  = 50 * time.Second
		grace = 10 * time.Minute
		ms    = time.Millisecond
	)
	unauthorized := func(at time.Duration) session.State {
		return session.Closed{
			Ending: session.Ending{At: after(at), Reason: session.TokenExpired}, Ledger: ledger, Epoch: 4, Used: true,
			Token: session.Token{Expires: after(30 * time.Second)},
		}
	}
	tests := map[string]struct {
		record session.Record
		at     time.Time
		timing session.Timing
		want   string
		closed session.State // nil: it lives
	}{
		"before it expires":                          {withToken(30 * time.Second), after(30*time.Second - ms), timing, "attached", nil},
		"it expires while the client is there":       {withToken(30 * time.Second), after(30 * time.Second), timing, "closed", unauthorized(30 * time.Second)},
		"it expired long ago":                        {withToken(30 * time.Second), after(time.Hour), timing, "closed", unauthorized(30 * time.Second)},
		"nothing is to expire":                       {withToken(30 * time.Second), after(40 * time.Second), sparing(after(time.Minute)), "attached", nil},
		"nothing is to expire any more":              {withToken(30 * time.Second), after(time.Minute), sparing(after(time.Minute)), "closed", unauthorized(time.Minute)},
		"it expires the moment the client is lost":   {withToken(lost), after(lost), timing, "detached", nil},
		"it expires a moment before":                 {withToken(lost - ms), after(lost - ms), timing, "closed", nil},
		"it expires while the client is away":        {withToken(time.Minute), after(2 * time.Minute), timing, "detached", nil},
		"the client does not come back in its grace": {withToken(time.Minute), after(lost + grace), timing, "closed", nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got := test.record.State(test.at, test.timing)
			if kind := kindOf(got); kind != test.want {
				t.Fatalf("it is %s, want %s", kind, test.want)
			}
			if closed, is := got.(session.Closed); is && test.closed != nil {
				if diff := cmp.Diff(test.closed, got); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
				if diff := cmp.Diff(test.closed, closed.Record().State(after(0), timing)); diff != "" {
					t.Errorf("as stored (-want +got):\n%s", diff)
				}
			}
		})
	}
}

// A client that may have been there when its token expired, and is not known to have been, was away.
func TestATokenExpiresWhileTheClientMayHaveBeenThere(t *testing.T) {
	r := withToken(time.Minute)
	r.Known, r.Seen = r.Seen, r.Seen.Add(time.Minute)
	for at, want := range map[time.Duration]string{time.Minute: "attached", 2 * time.Minute: "detached", 12 * time.Minute: "closed"} {
		if got := kindOf(r.State(after(at), timing)); got != want {
			t.Errorf("after %v, it is %s, want %s", at, got, want)
		}
	}
	r.Known = r.Seen
	if got := kindOf(r.State(after(time.Minute), timing)); got != "closed" {
		t.Errorf("with a sign of life, it is %s", got)
	}
}

func kindOf(s session.State) string {
	switch s.(type) {
	case session.Attached:
		return "attached"
	case session.Detached:
		return "detached"
	default:
		return "closed"
	}
}

func TestATokenIsRenewed(t *testing.T) {
	attached := state[session.Attached](t, withToken(30*time.Second), seen)
	later := session.Token{Expires: after(time.Hour), AskAt: after(time.Minute)}
	if got := attached.Renew(later).Record().Token; got != later {
		t.Errorf("%v, want %v", got, later)
	}
	if got := attached.Renew(later).Renew(attached.Token).Token; got != later {
		t.Errorf("an earlier token has taken the place of a later one: %v", got)
	}
	if lapsed := (session.Token{}).Lapsed(after(time.Hour)); lapsed {
		t.Error("no token has lapsed")
	}
}
