package listen_test

import (
	"crypto/tls"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"restante/internal/listen"
)

// TestLateRenewalIsLogged holds that a certificate that is not renewed is logged while there is time to do something about
// it, and not with each handshake. The authority cannot be reached.
func TestLateRenewalIsLogged(t *testing.T) {
	const day = 24 * time.Hour
	tests := map[string]struct {
		life, left time.Duration
		warns      bool
	}{
		"not due":               {90 * day, 31 * day, false},
		"due":                   {90 * day, 29 * day, false},
		"late":                  {90 * day, 22 * day, true},
		"a short one, not late": {6 * day, 40 * time.Hour, false},
		"a short one, late":     {6 * day, 30 * time.Hour, true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			cache := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				log := &logs{}
				a, err := listen.NewACME(listen.ACMEConfig{Domains: []string{"a.example"}, Cache: cache, Directory: "none://authority.example"}, log.logger())
				if err != nil {
					t.Fatal(err)
				}
				cert, key := makePair(t, "a.example", time.Now().Add(tt.left-tt.life), time.Now().Add(tt.left))
				write(t, filepath.Join(cache, "a.example"), append(key, cert...))
				hello := &tls.ClientHelloInfo{ServerName: "a.example", CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}}
				lines := 0
				for range 2 { // hours
					for range 3 {
						if _, err := a.TLS().GetCertificate(hello); err != nil {
							t.Fatal(err)
						}
					}
					if tt.warns {
						lines++
					}
					if n := log.count("should have been renewed"); n != lines {
						t.Errorf("%d lines are logged, want %d", n, lines)
					}
					time.Sleep(time.Hour) // the manager tries meanwhile, in vain
				}
			})
		})
	}
}
