package wormhole_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"restante/handlers"
	"restante/handlers/handlerstest"
	"restante/handlers/welcome"
	"restante/internal/testclient"
)

// work does the work that the welcome asks for, and submits the stamp.
func work(c *testclient.Wormhole) {
	resource, stamp := fmt.Sprint(c.Welcome.At("welcome/permission-required/hashcash/resource")), ""
	for n := 0; !welcome.ValidStamp(stamp, resource, 4); n++ {
		stamp = fmt.Sprintf("1:4:261121:%s::test:%d", resource, n)
	}
	c.Send("submit-permissions", "method", "hashcash", "stamp", stamp)
}

// A client that is asked for work has the time to do it, and from then on as long to bind as any other.
func TestTimeToWork(t *testing.T) {
	const second = time.Second
	limit := handlers.DefaultLimits().Identify
	asking := handlerstest.Options{Settings: welcome.Settings{HashcashBits: 4}}
	begin := func(c *testclient.Wormhole) {
		c.Refused("must submit-permission first", "bind", "appid", "app", "side", "a")
	}
	for why, tt := range map[string]struct {
		does func(*testclient.Wormhole)
		ends time.Duration // from then on
	}{
		"it is silent":             {func(*testclient.Wormhole) {}, welcome.ChallengeTTL},
		"it does nothing after it": {func(c *testclient.Wormhole) { elapse(2 * time.Minute); work(c) }, limit},
		"it sends the stamp again": {func(c *testclient.Wormhole) { work(c); elapse(second); work(c) }, limit - second},
		"it cannot work":           {func(c *testclient.Wormhole) { elapse(second); begin(c) }, limit},
		"it only tries again":      {func(c *testclient.Wormhole) { begin(c); elapse(second); begin(c) }, limit - second},
		"it has no app":            {func(c *testclient.Wormhole) { elapse(second); c.Refused("bind requires 'appid'", "bind", "side", "a") }, limit},
	} {
		t.Run(why, func(t *testing.T) {
			handlerstest.Bubble(t, asking, func(t *testing.T, r *handlerstest.Server) {
				c := r.Connect(t)
				tt.does(c)
				elapse(tt.ends - second/2)
				c.WantNothing()
				elapse(second)
				c.WantClose(websocket.ClosePolicyViolation)
			})
		})
	}
	t.Run("it is refused whatever it does", func(t *testing.T) {
		refusing := handlerstest.Options{Settings: welcome.Settings{HashcashBits: 4, SignalError: "not here"}}
		handlerstest.Bubble(t, refusing, func(t *testing.T, r *handlerstest.Server) {
			c := r.Connect(t)
			elapse(limit - second/2)
			c.WantNothing()
			elapse(second)
			c.WantClose(websocket.ClosePolicyViolation)
		})
	})
	t.Run("it binds", func(t *testing.T) {
		handlerstest.Bubble(t, asking, func(t *testing.T, r *handlerstest.Server) {
			c := r.Connect(t)
			elapse(welcome.ChallengeTTL - second)
			work(c)
			elapse(limit - second)
			c.Send("bind", "appid", "app", "side", "a").List()
			elapse(2 * welcome.ChallengeTTL)
			c.WantNothing()
		})
	})
}
