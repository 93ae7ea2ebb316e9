package repo

import (
	"database/sql/driver"
	"fmt"
	"time"
)

// millis is a time as it is stored: integer milliseconds since the epoch.
type millis int64

func toMillis(t time.Time) millis { return millis(t.UnixMilli()) }

func (m millis) time() time.Time { return time.UnixMilli(int64(m)).UTC() }

// millisOrNil returns NULL for nil.
func millisOrNil(t *time.Time) *millis {
	if t == nil {
		return nil
	}
	m := toMillis(*t)
	return &m
}

// timeOrNil returns nil for NULL.
func timeOrNil(m *millis) *time.Time {
	if m == nil {
		return nil
	}
	t := m.time()
	return &t
}

// millisOrNull returns NULL for the zero time.
func millisOrNull(t time.Time) *millis {
	if t.IsZero() {
		return nil
	}
	return millisOrNil(&t)
}

// timeOrZero returns the zero time for NULL.
func timeOrZero(m *millis) time.Time {
	if m == nil {
		return time.Time{}
	}
	return m.time()
}

// span is a duration as it is stored: integer milliseconds.
type span int64

func toSpan(d time.Duration) span { return span(d.Milliseconds()) }

func (s span) duration() time.Duration { return time.Duration(s) * time.Millisecond }

// flag is a boolean as it is stored: 0 or 1, which both engines can check and index.
type flag bool

// Value implements driver.Valuer.
func (f flag) Value() (driver.Value, error) {
	if f {
		return int64(1), nil
	}
	return int64(0), nil
}

// Scan implements sql.Scanner.
func (f *flag) Scan(src any) error {
	n, ok := src.(int64)
	if !ok {
		return fmt.Errorf("a flag is an integer, not %T", src)
	}
	*f = n != 0
	return nil
}

// digest is a SHA-256: a session's key, a command's fingerprint.
type digest [32]byte

// Value implements driver.Valuer.
func (d digest) Value() (driver.Value, error) { return d[:], nil }

// Scan implements sql.Scanner.
func (d *digest) Scan(src any) error {
	b, ok := src.([]byte)
	if !ok || len(b) != len(d) {
		return fmt.Errorf("a digest is %d bytes, not %T of %d", len(d), src, len(b))
	}
	copy(d[:], b)
	return nil
}

// nonNil returns a copy of b that is never NULL.
func nonNil[T string | []byte](b T) []byte { return append([]byte{}, b...) }
