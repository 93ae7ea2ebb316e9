package ws_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"restante/internal/ws"
)

// TestPause has the peer do something one second after a pause of ten began. The pause ends when the peer leaves, whatever
// the peer sent before, and what it sent can then be read.
func TestPause(t *testing.T) {
	const whole, atOnce = 10 * time.Second, time.Second
	message := func(p *pair, text string) { _ = p.client.WriteMessage(websocket.TextMessage, []byte(text)) }
	closes := func(p *pair) {
		_ = p.client.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(1000, ""), time.Now().Add(time.Second))
	}
	long, longer := strings.Repeat("x", 300), strings.Repeat("y", 70_000)
	for name, c := range map[string]struct {
		acts  func(p *pair)
		stays bool
		takes time.Duration
		reads []string
	}{
		"it waits":                         {func(*pair) {}, true, whole, nil},
		"it sends":                         {func(p *pair) { message(p, "a"); message(p, long) }, true, whole, []string{"a", long}},
		"it sends more than is read ahead": {func(p *pair) { message(p, "a"); message(p, longer) }, true, whole, []string{"a", longer}},
		"it pings":                         {func(p *pair) { _ = p.client.WriteControl(websocket.PingMessage, nil, time.Now().Add(time.Second)) }, true, whole, nil},
		"it closes":                        {closes, false, atOnce, nil},
		"it sends and closes":              {func(p *pair) { message(p, "a"); message(p, long); closes(p) }, false, atOnce, []string{"a", long}},
		"it is gone":                       {func(p *pair) { _ = p.client.NetConn().Close() }, false, atOnce, nil},
		"it sends and is gone":             {func(p *pair) { message(p, "a"); _ = p.client.NetConn().Close() }, false, atOnce, []string{"a"}},
		"reading is to end a bit later":    {func(p *pair) { p.EndReading(time.Second) }, false, 2 * atOnce, nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := open(t, ws.Options{IdleTimeout: 12 * time.Second})
				p.OnControl(func() {})
				p.receives()
				began, acted := time.Now(), make(chan struct{})
				go func() {
					defer close(acted)
					time.Sleep(time.Second)
					c.acts(p)
				}()
				if stays := p.Pause(whole); stays != c.stays || time.Since(began) != c.takes {
					t.Errorf("it ended with %t after %v", stays, time.Since(began))
				}
				for _, want := range c.reads {
					if got, err := p.Read(); err != nil || string(got) != want {
						t.Fatalf("read %.20q (%v), want %.20q", got, err, want)
					}
				}
				<-acted
				if !c.stays {
					if _, err := p.Read(); err == nil {
						t.Error("it goes on")
					}
				} else if begun, err := p.Wait(11 * time.Second); begun || err != nil {
					t.Errorf("after it, waiting ended with %t (%v)", begun, err)
				}
			})
		})
	}
}
