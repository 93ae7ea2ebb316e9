package listen_test

import (
	"crypto/tls"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"restante/internal/listen"
)

// served is a server with a certificate from files.
type served struct {
	*listen.KeyPair
	log               *logs
	certFile, keyFile string
	address           string
}

func serve(t *testing.T) *served {
	t.Helper()
	dir := t.TempDir()
	s := &served{log: &logs{}, certFile: filepath.Join(dir, "cert.pem"), keyFile: filepath.Join(dir, "key.pem")}
	writePair(t, "first.example", s.certFile, s.keyFile)
	var err error
	if s.KeyPair, err = listen.NewKeyPair(s.certFile, s.keyFile, s.log.logger()); err != nil {
		t.Fatal(err)
	}
	l := open(t, listen.Config{Secure: []string{"127.0.0.1:0"}, TLS: s.TLS()})
	if !l.Secure() {
		t.Error("it does not count as TLS")
	}
	s.address = l.Addrs()[0].String()
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Proto) })}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(l.All()[0])
	}()
	t.Cleanup(func() {
		_ = server.Close()
		<-done
	})
	return s
}

// presented is the name in the certificate that a new connection is presented.
func (s *served) presented(t *testing.T) string {
	t.Helper()
	conn, err := (&tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}}).DialContext(t.Context(), "tcp", s.address) // the name is what is looked at
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return conn.(*tls.Conn).ConnectionState().PeerCertificates[0].DNSNames[0]
}

func (s *served) wants(t *testing.T, name string, errors int) {
	t.Helper()
	for range 3 {
		if got := s.presented(t); got != name {
			t.Errorf("it presents %s, want %s", got, name)
		}
	}
	if n := s.log.count("level=ERROR"); n != errors {
		t.Errorf("%d errors are logged, want %d", n, errors)
	}
}

func TestCertificateIsReplaced(t *testing.T) {
	s := serve(t)
	s.wants(t, "first.example", 0)
	t.Run("when the files change", func(t *testing.T) {
		writePair(t, "second.example", s.certFile, s.keyFile)
		s.wants(t, "second.example", 0)
	})
	t.Run("when another file is put in the place of one", func(t *testing.T) {
		writePair(t, "third.example", s.certFile+".new", s.keyFile)
		if err := os.Rename(s.certFile+".new", s.certFile); err != nil {
			t.Fatal(err)
		}
		s.wants(t, "third.example", 0)
	})
	t.Run("not by what is broken, which is logged once", func(t *testing.T) {
		write(t, s.certFile, []byte("broken"))
		s.wants(t, "third.example", 1)
	})
	t.Run("not by a certificate of another key", func(t *testing.T) {
		writePair(t, "fourth.example", s.certFile, s.keyFile+".new")
		s.wants(t, "third.example", 2)
	})
	t.Run("once the key has come", func(t *testing.T) {
		if err := os.Rename(s.keyFile+".new", s.keyFile); err != nil {
			t.Fatal(err)
		}
		s.wants(t, "fourth.example", 2)
	})
	t.Run("not by files that are gone", func(t *testing.T) {
		if err := os.Remove(s.keyFile); err != nil {
			t.Fatal(err)
		}
		s.wants(t, "fourth.example", 3)
	})
	t.Run("when asked, though nothing changed", func(t *testing.T) {
		s.Reload()
		s.wants(t, "fourth.example", 4) // the key is still missing
	})
}

func TestConnectionsOutliveTheirCertificate(t *testing.T) {
	s := serve(t)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true}} // the name is what is looked at
	defer client.CloseIdleConnections()
	get := func() string {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+s.address, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		response, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		text, err := io.ReadAll(response.Body)
		if err != nil || string(text) != "HTTP/2.0" {
			t.Errorf("%q, %v, want HTTP/2", text, err)
		}
		return response.TLS.PeerCertificates[0].DNSNames[0]
	}
	if got := get(); got != "first.example" {
		t.Errorf("the connection has %s", got)
	}
	writePair(t, "second.example", s.certFile, s.keyFile)
	s.wants(t, "second.example", 0)
	if got := get(); got != "first.example" {
		t.Errorf("the connection that there was has %s: it is a new one", got)
	}
}

func TestKeyPairThatCannotBeUsed(t *testing.T) {
	dir := t.TempDir()
	if _, err := listen.NewKeyPair(filepath.Join(dir, "none"), filepath.Join(dir, "none"), (&logs{}).logger()); err == nil {
		t.Error("a server starts without its certificate")
	}
}
