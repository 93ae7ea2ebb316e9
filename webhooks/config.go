package webhooks

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"restante/rendezvous"
)

const (
	defaultTimeout = 10 * time.Second
	maxTimeout     = time.Minute
)

// Webhook says where the events of an app are sent to.
type Webhook struct {
	App     rendezvous.AppID `json:"app"`
	URL     string           `json:"url"`
	Secrets []secret         `json:"secrets"`
	// Allow are special addresses that the receiver may have, such as one in a private network.
	Allow []netip.Prefix `json:"allow"`
	// TimeoutMs is how long an attempt may take; 0 means 10 seconds.
	TimeoutMs int64 `json:"timeoutMs"`
}

func (h *Webhook) timeout() time.Duration {
	if h.TimeoutMs == 0 {
		return defaultTimeout
	}
	return time.Duration(h.TimeoutMs) * time.Millisecond
}

func (h *Webhook) isTLS() bool {
	at, err := url.Parse(h.URL)
	return err == nil && at.Scheme == "https"
}

// Parse reads the file that --webhooks names: JSON with a list of webhooks, one for an app.
func Parse(file []byte) ([]Webhook, error) {
	file = bytes.TrimPrefix(file, []byte("\ufeff")) // a byte order mark, which some editors write
	if !jsontext.Value(file).IsValid() {
		return nil, errors.New("it is not JSON")
	}
	decoder := json.NewDecoder(bytes.NewReader(file))
	decoder.DisallowUnknownFields()
	var parsed struct {
		Webhooks []Webhook `json:"webhooks"`
	}
	if err := decoder.Decode(&parsed); err != nil {
		return nil, err
	}
	if parsed.Webhooks == nil { // an empty list tells no app any more
		return nil, errors.New(`it has no webhooks: {"webhooks": [{"app": …, "url": …, "secrets": […]}]}`)
	}
	for i, h := range parsed.Webhooks {
		if err := h.check(); err != nil {
			return nil, fmt.Errorf("webhook %d: %w", i+1, err)
		}
		if slices.ContainsFunc(parsed.Webhooks[:i], func(o Webhook) bool { return o.App == h.App }) {
			return nil, fmt.Errorf("webhook %d: the app %q has one already", i+1, h.App)
		}
	}
	return parsed.Webhooks, nil
}

func (h *Webhook) check() error {
	at, err := url.Parse(h.URL)
	switch {
	case h.App == "":
		return errors.New("app is missing")
	case err != nil || at.Host == "" || at.Scheme != "https" && at.Scheme != "http":
		return errors.New("url is no http or https address")
	case at.User != nil:
		return errors.New("url has a password; the receiver checks the signature instead")
	case at.Scheme == "http" && len(h.Allow) == 0:
		return errors.New("url is not https; plain http is only for addresses in allow")
	case len(h.Secrets) == 0:
		return errors.New("secrets is missing")
	case h.TimeoutMs < 0 || h.timeout() > maxTimeout:
		return fmt.Errorf("timeoutMs is 1 to %d", maxTimeout.Milliseconds())
	}
	return nil
}
