package testclient

import (
	"context"
	"io"
	"maps"
	"net/http"
	"strings"
	"time"
)

// Answer is the answer to a request.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// OneShot makes a connection for each request.
var OneShot = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

// Exchange sends a request and reads its whole answer. A body is sent as JSON.
func Exchange(ctx context.Context, via *http.Client, method, url string, header http.Header, body string) (Answer, error) {
	request, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return Answer{}, err
	}
	maps.Copy(request.Header, header)
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := via.Do(request)
	if err != nil {
		return Answer{}, err
	}
	defer response.Body.Close()
	whole, err := io.ReadAll(response.Body)
	return Answer{response.StatusCode, response.Header, whole}, err
}

// Pause waits, as a client does that backs off. It returns the cause if ctx ends first.
func Pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}
