package webhooks

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"reflect"
	"runtime/debug"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"restante/rendezvous"
)

const (
	// concurrency is how many mailboxes are told of at once, for each app.
	concurrency = 8
	// lookInterval is how often this process looks for what is due: what another process left, or what has to be
	// tried again. What is committed here is told at once.
	lookInterval = time.Second
	// recordTime is how long recording an attempt may take, beyond the attempt, before another process may try.
	recordTime = 5 * time.Second
	// maxAnswer is how much of an answer is read, so that the connection can be used again.
	maxAnswer = 64 << 10
)

// errGone is the answer 410: the receiver wants no more.
var errGone = errors.New("the receiver answered 410: it wants no more")

// Sender tells webhooks what they are to be told.
type Sender struct {
	service *rendezvous.Service
	log     *slog.Logger
	name    string // identifies this process
	wake    chan struct{}
	changed atomic.Bool // what waits after a failure is to be tried at once

	mu    sync.Mutex // guards hooks; the map itself is never changed
	hooks map[rendezvous.AppID]*receiver
}

// receiver is a webhook, and how it is reached.
type receiver struct {
	Webhook

	client *http.Client
	free   chan struct{} // holds as many as mailboxes are told of now
}

// lease is how long a mailbox is this process's alone after it was claimed, or after an event was told.
func (r *receiver) lease() time.Duration { return r.timeout() + recordTime }

// NewSender returns a sender for webhooks, and has the service note what they are to be told. It is called before the
// service is used.
func NewSender(service *rendezvous.Service, hooks []Webhook, log *slog.Logger) *Sender {
	s := &Sender{service: service, log: log, name: rand.Text(), wake: make(chan struct{}, 1)}
	service.OnDispatch = func() {
		select {
		case s.wake <- struct{}{}:
		default: // it is awake already
		}
	}
	s.Set(hooks)
	return s
}

// Set replaces the webhooks by others, from now on. Each mailbox goes on after the last event that was told, also at another
// address. What waits after a failure is tried at once. What the webhook of an app that is left out was still to be told
// waits for the case that the app has one again.
func (s *Sender) Set(hooks []Webhook) {
	before, now, apps := s.receivers(), map[rendezvous.AppID]*receiver{}, map[rendezvous.AppID]bool{}
	for _, h := range hooks {
		apps[h.App] = true
		if was := before[h.App]; was != nil && reflect.DeepEqual(was.Webhook, h) {
			now[h.App] = was
			continue
		}
		now[h.App] = &receiver{h, newClient(&h), make(chan struct{}, concurrency)}
	}
	s.mu.Lock()
	s.hooks = now
	s.mu.Unlock()
	for app, was := range before {
		if now[app] != was {
			was.client.CloseIdleConnections()
		}
	}
	s.service.SetWebhooks(apps)
	s.retry()
}

// retry has what waits after a failure tried at once.
func (s *Sender) retry() {
	s.changed.Store(true)
	s.service.OnDispatch()
}

// revive does what retry asked for. While the storage is away, that waits.
func (s *Sender) revive(ctx context.Context) {
	if !s.changed.Swap(false) {
		return
	}
	if err := s.service.ReviveDispatches(ctx); err != nil {
		s.changed.Store(true)
		s.log.Debug("what waits after a failure is tried again later", "error", err)
	}
}

func (s *Sender) receivers() map[rendezvous.AppID]*receiver {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hooks
}

// replaced reports whether a receiver's app has another one, or none, by now.
func (s *Sender) replaced(r *receiver) bool { return s.receivers()[r.App] != r }

// Run tells webhooks what is to be told, until ctx ends.
func (s *Sender) Run(ctx context.Context) {
	ticker := time.NewTicker(lookInterval)
	defer ticker.Stop()
	var running sync.WaitGroup
	defer running.Wait()
	for {
		s.survive(func() { s.revive(ctx) })
		for _, to := range s.receivers() {
			s.survive(func() { s.claim(ctx, to, &running) })
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		case <-s.wake:
		}
	}
}

// survive calls f, and logs a panic: no event may end the loop, or the server.
func (s *Sender) survive(f func()) {
	defer func() {
		if p := recover(); p != nil {
			s.log.Error("a panic while a webhook was to be told", "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
		}
	}()
	f()
}

// claim begins to tell a webhook what is due, as far as there is room for it.
func (s *Sender) claim(ctx context.Context, to *receiver, running *sync.WaitGroup) {
	room := cap(to.free) - len(to.free)
	if room == 0 {
		return
	}
	claimed, err := s.service.ClaimDispatches(ctx, to.App, s.name, to.lease(), room)
	if err != nil && ctx.Err() == nil {
		s.log.Debug("could not look for what webhooks are to be told", "error", err)
	}
	for _, d := range claimed {
		to.free <- struct{}{}
		running.Go(func() {
			defer s.service.OnDispatch() // there is room for another
			defer func() { <-to.free }()
			s.survive(func() { s.tell(ctx, to, d) }) // if it panics, it is tried again when the lease is over
		})
	}
}

// tell tells a webhook what is to be told of a mailbox, one event after the other, until one fails or none is left.
func (s *Sender) tell(ctx context.Context, to *receiver, d rendezvous.Dispatch) {
	for own := true; own; {
		events, err := s.service.Events(ctx, d)
		if err != nil || len(events) == 0 {
			return // another process tries it once the lease is over
		}
		for _, e := range events {
			if s.replaced(to) {
				s.release(ctx, d)
				return
			}
			err := s.post(ctx, to, e)
			if ctx.Err() != nil {
				s.release(ctx, d)
				return
			}
			if err != nil {
				s.failed(ctx, to, d, err)
				return
			}
			s.service.Stats().Told.Add(1)
			if d, own, err = s.service.Told(ctx, d, e, to.lease()); err != nil || !own {
				return
			}
		}
	}
}

// release gives back what this process has not told, because it stops.
func (s *Sender) release(ctx context.Context, d rendezvous.Dispatch) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTime)
	defer cancel()
	if err := s.service.ReleaseDispatch(ctx, d); err != nil {
		s.log.Debug("another process tries a webhook later", "error", err)
	}
}

// failed records an attempt that failed. If the receiver was replaced meanwhile, that says nothing of the next one, which
// is tried at once.
func (s *Sender) failed(ctx context.Context, to *receiver, d rendezvous.Dispatch, why error) {
	s.service.Stats().NotTold.Add(1)
	if errors.Is(why, errAddress) {
		s.service.Stats().Refused.Add(1)
	}
	now, err := s.service.NotTold(ctx, d, errors.Is(why, errGone))
	switch {
	case err != nil:
		return
	case now.Abandoned:
		s.log.Error("a webhook is told no more of a mailbox until the server starts, or reads its webhooks, again", "app", to.App, "error", why)
	case now.Attempts == 1:
		s.log.Warn("a webhook could not be told; it is tried again", "app", to.App, "error", why, "next", now.Due)
	}
	if s.replaced(to) {
		s.retry()
	}
}

// post sends an event. It returns nil if the receiver answered 2xx.
func (s *Sender) post(ctx context.Context, to *receiver, e rendezvous.Event) error {
	body, err := encode(e)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, to.timeout())
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, to.URL, bytes.NewReader(body))
	if err != nil {
		return err
	}
	at := time.Now()
	r.Header = http.Header{
		"Content-Type": {"application/json"}, "User-Agent": {"Restante"},
		"Webhook-Id": {e.ID}, "Webhook-Timestamp": {strconv.FormatInt(at.Unix(), 10)}, "Webhook-Signature": {sign(to.Secrets, e.ID, at, body)},
	}
	answer, err := to.client.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()                                          //nolint:errcheck // there is nothing to do about it
	_, _ = io.Copy(io.Discard, io.LimitReader(answer.Body, maxAnswer)) // what it says does not matter
	switch {
	case answer.StatusCode/100 == 2:
		return nil
	case answer.StatusCode == http.StatusGone:
		return errGone
	case answer.StatusCode/100 == 3:
		return fmt.Errorf("the receiver answered %d: redirects are not followed", answer.StatusCode)
	}
	return fmt.Errorf("the receiver answered %d", answer.StatusCode)
}
