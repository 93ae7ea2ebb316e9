package ws_test

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"restante/internal/ws"
)

// Each connection is pinged once in each interval, so a peer that answers is never taken for gone.
func TestPinger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pinger := &ws.Pinger{Interval: time.Minute, Stopping: make(chan struct{})}
		p := open(t, ws.Options{IdleTimeout: 3 * time.Minute})
		p.OnControl(func() {})
		pings := 0
		answer := p.client.PingHandler()
		p.client.SetPingHandler(func(payload string) error { pings++; return answer(payload) })
		p.receives()
		defer pinger.Add(p.Conn)()
		if begun, err := p.Wait(10*time.Minute + time.Second); begun || err != nil {
			t.Errorf("waiting ended with %t (%v)", begun, err)
		}
		synctest.Wait()
		if pings != 10 {
			t.Errorf("it was pinged %d times in ten minutes", pings)
		}
	})
}

// When the server stops, connections are closed, all within the spread. One that comes just then is, too.
func TestPingerClosesWhenTheServerStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stopping := make(chan struct{})
		pinger := &ws.Pinger{Interval: time.Minute, Stopping: stopping, Spread: 10 * time.Second}
		var ends []<-chan error
		var reading sync.WaitGroup
		add := func() {
			p := open(t, ws.Options{})
			_, ended := p.receives()
			ends = append(ends, ended)
			remove := pinger.Add(p.Conn)
			reading.Go(func() {
				defer remove()
				p.Drain()
			})
		}
		for range 5 {
			add()
		}
		<-time.After(10 * time.Minute)
		began := time.Now()
		close(stopping)
		add()
		for _, ended := range ends {
			wantClose(t, <-ended, websocket.CloseGoingAway)
		}
		if took := time.Since(began); took >= 10*time.Second {
			t.Errorf("the last was closed after %v", took)
		}
		reading.Wait() // for both close frames
	})
}
