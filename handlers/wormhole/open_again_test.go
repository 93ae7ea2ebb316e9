package wormhole_test

import (
	"testing"

	"restante/handlers/handlerstest"
)

// A client may open a mailbox again if it is in none any more, over whatever connection it has closed it.
func TestWormholeOpensAgain(t *testing.T) {
	for name, end := range map[string]func(*testing.T, *handlerstest.Server){
		"its side has closed": func(t *testing.T, r *handlerstest.Server) {
			r.Bind(t, "app", "a").Request("closed", "close", "mailbox", "m")
		},
		"the mailbox is gone": func(t *testing.T, r *handlerstest.Server) {
			r.Bind(t, "app", "a").Request("closed", "close", "mailbox", "m")
			r.Bind(t, "app", "b").Request("closed", "close", "mailbox", "m")
		},
	} {
		for _, mailbox := range []string{"m", "n"} {
			t.Run(name+", and it opens "+mailbox, func(t *testing.T) {
				r := handlerstest.Start(t, handlerstest.Options{})
				r.Bind(t, "app", "b").Open("m").Drop()
				a := r.Bind(t, "app", "a").Open("m")
				a.Refused("only one open per connection", "open", "mailbox", "n")
				end(t, r)
				if name == "the mailbox is gone" {
					a.WantGone("m")
				}
				a.Refused("must open mailbox before adding", "add", "phase", "p", "body", "00")
				a.Open(mailbox).Add("p", "00")
				a.Request("closed", "close")
			})
		}
	}
}
