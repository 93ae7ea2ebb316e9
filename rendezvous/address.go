package rendezvous

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"hash"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	addressPrefix = "addr-"
	// networkShare is how many times the limit of an IPv6 network of 64 bits applies to the network of 48
	// bits around it. One customer may have all of it.
	networkShare = 4
)

// addressKeys holds the key with which addresses are hashed.
type addressKeys struct{ current atomic.Pointer[addressKey] }

// addressKey is the key of one day.
type addressKey struct {
	day    int64 // since the epoch, in UTC; -1 for a key that only this process has
	secret []byte
	macs   sync.Pool // of hash.Hash, with the secret
}

// AddressID returns what stands for a client's address wherever one is kept, logged or shown. It is a
// keyed hash: "addr-" and ten characters. The key changes daily, and is forgotten a day later. An IPv6
// client can use each address of its network of 64 bits, so these have one id. Its first ten characters
// stand for the network of 48 bits, and the next ten for that of 64.
func (s *Service) AddressID(a netip.Addr) string {
	a = a.Unmap()
	if !a.IsValid() {
		return addressPrefix + "local" // a Unix socket
	}
	key := s.addressKey()
	if a.Is4() {
		return addressPrefix + key.hash(a.AsSlice())
	}
	b := a.As16()
	return addressPrefix + key.hash(b[:6]) + "-" + key.hash(b[:8])
}

func (k *addressKey) hash(address []byte) string {
	mac, _ := k.macs.Get().(hash.Hash)
	if mac == nil {
		mac = hmac.New(sha256.New, k.secret)
	}
	defer k.macs.Put(mac)
	mac.Reset()
	mac.Write(address)
	return lowerBase32.EncodeToString(mac.Sum(nil)[:10])[:10]
}

var lowerBase32 = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567")

func (s *Service) addressKey() *addressKey {
	key := s.addressKeys.current.Load()
	if key == nil {
		fresh := &addressKey{day: -1, secret: newAddressSecret()}
		s.addressKeys.current.CompareAndSwap(nil, fresh)
		key = s.addressKeys.current.Load()
	}
	return key
}

// DeriveSecret returns a secret for a purpose. All servers on the storage have the same, and it changes daily.
func (s *Service) DeriveSecret(purpose string) []byte {
	mac := hmac.New(sha256.New, s.addressKey().secret)
	mac.Write([]byte("secret for " + purpose))
	return mac.Sum(nil)
}

func newAddressSecret() []byte {
	secret := make([]byte, sha256.Size)
	_, _ = rand.Read(secret) // never fails: see crypto/rand
	return secret
}

// LoadAddressKey loads today's key, which all servers on the storage share, and makes it if there is
// none. From then on, [Service.Run] loads the key of each day. Without it, the key is this process's own.
func (s *Service) LoadAddressKey(ctx context.Context) error {
	fresh := newAddressSecret()
	var key addressKey
	err := s.Store.Update(ctx, func(tx Tx) (err error) {
		key.day = dayOf(tx.Now())
		key.secret, err = tx.AddressKey(key.day, fresh)
		return err
	})
	if err == nil {
		s.addressKeys.current.Store(&key)
	}
	return s.clientError(err)
}

func dayOf(t time.Time) int64 { return t.Unix() / int64((24 * time.Hour).Seconds()) }

// addressLoop loads the key of each new day. If that fails, yesterday's is used for longer.
func (s *Service) addressLoop(ctx context.Context) {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if key := s.addressKeys.current.Load(); key != nil && key.day >= 0 && key.day != dayOf(s.now()) {
			s.logErrors("address key", func() error { return s.LoadAddressKey(ctx) })
		}
	}
}

// NetworkID returns what stands for the IPv6 network of 48 bits around an address, given what stands for that, or "" if
// there is none.
func NetworkID(address string) string {
	hashes, is := strings.CutPrefix(address, addressPrefix)
	if wide, _, ipv6 := strings.Cut(hashes, "-"); is && ipv6 {
		return addressPrefix + wide
	}
	return ""
}
