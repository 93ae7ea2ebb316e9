package wormhole_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"restante/handlers/handlerstest"
	"restante/internal/testclient"
	"restante/rendezvous"
)

// test_server.Summary and test_stats: what is remembered of what is gone. Each story is told in
// seconds since its beginning; a client connects for each step, and leaves again. Pruning runs every
// five minutes, and takes what nothing happened to for eleven: what is abandoned at the beginning goes at 900 s.
func TestWormholeConformanceUsage(t *testing.T) {
	const at1to900 = "1 - 899 "
	for name, tt := range map[string]struct {
		story     string // second side command [mood]; every claim is of one nameplate, every open of one mailbox
		nameplate string // started waiting total result
		mailbox   string
		blur      time.Duration
		from      bool // the mailbox is the nameplate's
	}{
		"Summary.test_mailbox one side":             {story: "1 a open, 6 a close happy", mailbox: "1 - 5 lonely"},
		"Summary.test_mailbox two sides":            {story: "1 a open, 4 b open, 5 a close happy, 6 b close happy", mailbox: "1 3 5 happy"},
		"Summary.test_mailbox lonely":               {story: "1 a open, 4 b open, 5 a close lonely, 6 b close happy", mailbox: "1 3 5 lonely"},
		"Summary.test_mailbox errory before lonely": {story: "1 a open, 4 b open, 5 a close lonely, 6 b close errory", mailbox: "1 3 5 errory"},
		"Summary.test_mailbox scary before errory":  {story: "1 a open, 4 b open, 5 a close scary, 6 b close errory", mailbox: "1 3 5 scary"},
		"Summary.test_mailbox pruned":               {story: "1 a open, 900 - wait", mailbox: at1to900 + "pruney"},
		"Summary.test_mailbox pruned though scary":  {story: "1 a open, 2 b open, 3 a close scary, 900 - wait", mailbox: "1 1 899 pruney"},
		"Summary.test_mailbox crowded before all":   {story: "1 a open, 2 b open, 3 c open, 4 a close scary, 900 - wait", mailbox: "1 1 899 crowded"},
		"Summary.test_nameplate one side":           {story: "1 a claim, 6 a release", nameplate: "1 - 5 lonely"},
		"Summary.test_nameplate two sides":          {story: "1 a claim, 3 b claim, 5 a release, 10 b release", nameplate: "1 2 9 happy"},
		"Summary.test_nameplate pruned":             {story: "1 a claim, 2 b claim, 900 - wait", nameplate: "1 1 899 pruney", mailbox: "1 1 899 pruney", from: true},
		"Summary.test_nameplate crowded before all": {story: "1 a claim, 2 b claim, 3 c claim, 900 - wait", nameplate: "1 1 899 crowded", mailbox: "1 1 899 crowded", from: true},
		"test_blur":    {story: "33 a claim, 44 a release", nameplate: "20 - 11 lonely", blur: 20 * time.Second},
		"test_no_blur": {story: "33 a claim, 44 a release", nameplate: "33 - 11 lonely"},
		"test_stats.Nameplate.test_nameplate_happy":   {story: "1 a claim, 3 b claim, 5 a release, 10 b release", nameplate: "1 2 9 happy"},
		"test_stats.Nameplate.test_nameplate_lonely":  {story: "1 a claim, 6 a release", nameplate: "1 - 5 lonely"},
		"test_stats.Nameplate.test_nameplate_pruney":  {story: "1 a claim, 900 - wait", nameplate: at1to900 + "pruney", mailbox: at1to900 + "pruney", from: true},
		"test_stats.Nameplate.test_nameplate_blurred": {story: "21 a claim, 25 a release", nameplate: "20 - 4 lonely", blur: 20 * time.Second},
		// Deviation (5.23): it is over when the two that were let in have released. There it takes the third's release as well.
		"test_stats.Nameplate.test_nameplate_crowded":        {story: "1 a claim, 3 b claim, 4 c claim, 5 a release, 10 b release", nameplate: "1 2 9 crowded"},
		"test_stats.Nameplate.test_nameplate_crowded_pruned": {story: "1 a claim, 3 b claim, 4 c claim, 900 - wait", nameplate: "1 2 899 crowded", mailbox: "1 2 899 crowded", from: true},
		// Deviation (design §7): usage is kept in the one database there is, in the transaction that retires what it is about; it cannot be left out.
		"test_stats.Nameplate.test_nameplate_no_db": {story: "1 a claim, 6 a release", nameplate: "1 - 5 lonely"},

		"test_stats.Mailbox.test_mailbox_prune_quiet":      {story: "1 a claim, 900 - wait", nameplate: at1to900 + "pruney", mailbox: at1to900 + "pruney", from: true},
		"test_stats.Mailbox.test_mailbox_lonely":           {story: "1 a open, 6 a close mood", mailbox: "1 - 5 lonely"}, // an unknown mood says nothing
		"test_stats.Mailbox.test_mailbox_happy":            {story: "1 a open, 4 b open, 5 a close happy, 6 b close happy", mailbox: "1 3 5 happy"},
		"test_stats.Mailbox.test_mailbox_happy_blurred":    {story: "21 a open, 24 b open, 25 a close happy, 26 b close happy", mailbox: "20 3 5 happy", blur: 20 * time.Second},
		"test_stats.Mailbox.test_mailbox_lonely_connected": {story: "1 a open, 4 b open, 5 a close lonely, 6 b close happy", mailbox: "1 3 5 lonely"},
		"test_stats.Mailbox.test_mailbox_scary":            {story: "1 a open, 4 b open, 5 a close scary, 6 b close happy", mailbox: "1 3 5 scary"},
		"test_stats.Mailbox.test_mailbox_errory":           {story: "1 a open, 4 b open, 5 a close errory, 6 b close happy", mailbox: "1 3 5 errory"},
		"test_stats.Mailbox.test_mailbox_errory_scary":     {story: "1 a open, 4 b open, 5 a close errory, 6 b close scary", mailbox: "1 3 5 scary"},
		"test_stats.Mailbox.test_mailbox_crowded":          {story: "1 a open, 4 b open, 5 c open, 5 a close happy, 6 b close scary", mailbox: "1 3 5 crowded"},
	} {
		t.Run(name, func(t *testing.T) {
			handlerstest.Bubble(t, handlerstest.Options{Config: func(c *rendezvous.Config) { c.Blur = tt.blur }}, func(t *testing.T, r *handlerstest.Server) {
				start := time.Now()
				for line := range strings.SplitSeq(tt.story, ", ") {
					step := strings.Fields(line)
					second, _ := strconv.Atoi(step[0])
					elapse(time.Until(start.Add(time.Duration(second) * time.Second)))
					act(t, r, step[1:])
				}
				if tt.from || tt.nameplate == "" {
					handlerstest.EqualRows(t, usage(t, r, "mailboxes", start), slices.DeleteFunc([]string{tt.mailbox}, func(s string) bool { return s == "" })...)
					handlerstest.EqualRows(t, r.Rows(t, `SELECT for_nameplate FROM usage_mailboxes`), map[bool]string{true: "1", false: "0"}[tt.from])
				}
				handlerstest.EqualRows(t, usage(t, r, "nameplates", start), slices.DeleteFunc([]string{tt.nameplate}, func(s string) bool { return s == "" })...)
			})
		})
	}
}

// act does one step of a story.
func act(t *testing.T, r *handlerstest.Server, step []string) {
	t.Helper()
	if step[1] == "wait" {
		elapse(time.Second) // pruning is on its way
		return
	}
	c := r.Bind(t, "app", step[0])
	defer c.Drop()
	switch step[1] {
	case "claim":
		c.Send("claim", "nameplate", "4").Next() // or it is crowded
	case "release":
		c.Request("released", "release", "nameplate", "4")
	case "open":
		c.Send("open", "mailbox", "mb").WantOnly("error") // if it is crowded
	case "close":
		c.Request("closed", "close", "mailbox", "mb", "mood", step[2])
	}
}

// test_stats.ClientVersion: which clients came. The reference writes it at once, we a moment later, and
// without the side (deviation: nothing needs it).
func TestWormholeConformanceClients(t *testing.T) {
	bind := func(t *testing.T, r *handlerstest.Server, side string, version ...any) {
		t.Helper()
		r.Connect(t).Send("bind", "appid", "app", "side", side, "client_version", version)
		elapse(time.Second)
	}
	const query = `SELECT (connected - 946684800000) / 1000, implementation, version FROM client_versions`
	for name, tt := range map[string]struct {
		version []any
		want    string
		blur    time.Duration
	}{
		"test_stats.ClientVersion.test_add_version":         {[]any{"python", "1.2.3"}, "451 python 1.2.3", 0},
		"test_stats.ClientVersion.test_add_version_extra":   {[]any{"python", "1.2.3", "extra"}, "451 python 1.2.3", 0},
		"test_stats.ClientVersion.test_add_version_blurred": {[]any{"python", "1.2.3"}, "400 python 1.2.3", 100 * time.Second},
		"test_stats.ClientVersion.test_add_version_no_db":   {[]any{"python", "1.2.3"}, "451 python 1.2.3", 0}, // there always is one
	} {
		t.Run(name, func(t *testing.T) {
			handlerstest.Bubble(t, handlerstest.Options{Config: func(c *rendezvous.Config) { c.Blur = tt.blur }}, func(t *testing.T, r *handlerstest.Server) {
				elapse(451 * time.Second)
				bind(t, r, "side", tt.version...)
				handlerstest.EqualRows(t, r.Rows(t, query), tt.want)
			})
		})
	}
}

// test_stats.Current. Deviation (design §4): there is no table of what is current, that an operator
// would have to open the live database for; GET /v1/status says it.
func TestWormholeConformanceCurrent(t *testing.T) {
	start := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC) // of every bubble
	claim := func(t *testing.T, r *handlerstest.Server) {
		t.Helper()
		c := r.Bind(t, "app", "a")
		elapse(time.Minute)
		c.Request("claimed", "claim", "nameplate", "4")
		elapse(time.Minute + time.Second) // not in the moment in which the server counts
	}
	for name, tt := range map[string]struct {
		act  func(t *testing.T, r *handlerstest.Server)
		what string
		want int64
	}{
		"test_stats.Current.rebooted":                                {claim, "started", start.UnixMilli()},
		"test_stats.Current.updated":                                 {claim, "updated", start.Add(time.Minute).UnixMilli()},
		"test_stats.Current.connections_websocket":                   {claim, "counts/mailboxes", 1}, // mailboxes, with or without a listener, and not sockets
		"test_stats.Current.connections_websocket without a mailbox": {func(t *testing.T, r *handlerstest.Server) { r.Bind(t, "app", "a") }, "counts/mailboxes", 0},
	} {
		t.Run(name, func(t *testing.T) {
			handlerstest.Bubble(t, handlerstest.Options{}, func(t *testing.T, r *handlerstest.Server) {
				tt.act(t, r)
				got, err := testclient.At(r.Get(t, "/v1/status").Body, tt.what)
				if err != nil || fmt.Sprint(got) != fmt.Sprint(tt.want) {
					t.Errorf("%s is %v, want %d (%v)", tt.what, got, tt.want, err)
				}
			})
		})
	}
}
