package rendezvous

import (
	"context"
	"testing"
	"time"
)

// Clients may come while the loop that records their signs of life starts.
func TestClientsComeWhileRecordingStarts(t *testing.T) {
	const patience = 4 * time.Minute
	var s Service
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	s.openMailboxes.mu.Lock() // the start of the loop waits for it
	go func() {
		defer close(ended)
		s.recordLoop(ctx)
	}()
	for deadline := time.Now().Add(patience); ; {
		s.clientVersions.mu.Lock()
		tells := s.clientVersions.notify != nil
		s.clientVersions.mu.Unlock()
		if tells {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("it does not start")
		}
		<-time.After(time.Millisecond)
	}
	select {
	case s.clientVersions.notify <- struct{}{}: // as for a client that comes
	default:
	}
	s.openMailboxes.mu.Unlock()
	cancel()
	select {
	case <-ended:
	case <-time.After(patience):
		t.Error("the loop does not end when the server does")
	}
}
