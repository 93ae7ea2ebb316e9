package listen

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// protocols are what a TLS client can choose from.
func protocols() []string { return []string{"h2", "http/1.1"} }

// KeyPair is a certificate and its private key, in two PEM files that may be replaced while the server runs.
type KeyPair struct {
	certFile, keyFile string
	log               *slog.Logger

	mu   sync.Mutex // guards the following
	seen [2]stamp   // the files as they were when they were last read, successfully or not
	good *tls.Certificate
}

// stamp tells a version of a file from another.
type stamp struct {
	info     os.FileInfo // nil if there was none
	size     int64
	modified time.Time
}

func (s stamp) same(t stamp) bool {
	if s.info == nil || t.info == nil {
		return s.info == nil && t.info == nil
	}
	return s.size == t.size && s.modified.Equal(t.modified) && os.SameFile(s.info, t.info)
}

func stampOf(name string) stamp {
	info, err := os.Stat(name)
	if err != nil {
		return stamp{}
	}
	return stamp{info, info.Size(), info.ModTime()}
}

// NewKeyPair reads a certificate, with its chain, and its private key.
func NewKeyPair(certFile, keyFile string, log *slog.Logger) (*KeyPair, error) {
	p := &KeyPair{certFile: certFile, keyFile: keyFile, log: log}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.readLocked(); err != nil {
		return nil, err
	}
	return p, nil
}

// TLS returns the configuration of a server that presents the pair. The files are looked at in each handshake, and read
// again if they have changed. What cannot be used is logged once, and the pair that could be is kept.
func (p *KeyPair) TLS() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: protocols(), GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		return p.current(), nil
	}}
}

// Reload reads the files again, changed or not. If they cannot be used, the pair stays as it is, and that is logged.
func (p *KeyPair) Reload() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refreshLocked()
}

// current returns the pair that is presented now.
func (p *KeyPair) current() *tls.Certificate {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.seen[0].same(stampOf(p.certFile)) || !p.seen[1].same(stampOf(p.keyFile)) {
		p.refreshLocked()
	}
	return p.good
}

func (p *KeyPair) refreshLocked() {
	if err := p.readLocked(); err != nil {
		p.log.Error("the certificate stays as it was", "error", err, "until", p.good.Leaf.NotAfter)
		return
	}
	p.log.Info("read the certificate again", "names", p.good.Leaf.DNSNames, "until", p.good.Leaf.NotAfter)
}

// readLocked reads the files. They are looked at first: a change that comes while they are read is seen next time.
func (p *KeyPair) readLocked() error {
	p.seen = [2]stamp{stampOf(p.certFile), stampOf(p.keyFile)}
	pair, err := tls.LoadX509KeyPair(p.certFile, p.keyFile)
	if err != nil {
		return fmt.Errorf("certificate %s and key %s: %w", p.certFile, p.keyFile, err)
	}
	p.good = &pair
	return nil
}
