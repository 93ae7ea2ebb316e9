package main_test

// module is this module; what is in it is ours.
const module = "restante"

// layer is the place of a package: what it may import of ours, and what it may
// not import of anybody's, with the reason.
type layer struct {
	uses     []string          // packages of ours that it may import, and no other
	bans     map[string]string // import → why it is banned, with everything below it
	allows   map[string]string // import of forTests → why the package itself may have it, with everything below it
	tests    map[string]string // import → why its tests may import it nevertheless, with everything below it
	stdlib   string            // why it imports no module but the standard library; "" if it may. Its tests may
	testOnly string            // why only tests may import it; "" if others may
}

const noSQL = "SQL belongs to repo alone"

// leavesNothing is why tests import internal/leaks.
const leavesNothing = "they leave no goroutine"

// layers is the architecture. A new package fails [TestLayers] until it has a place here.
//
//	main ─► internal/bench, internal/conformance, internal/listen, internal/munin, internal/rules, internal/token
//	     ─► internal/operator ─► api, internal/listen
//	     ─► webhooks ─► rendezvous
//	     ─► handlers ─► api, openapi, rendezvous, session, internal/idleconn
//	     ─► repo ─────► rendezvous, session
//	        rendezvous ─► session, internal/hub, internal/logcache, internal/presence
//
// handlers and repo never meet but in main, and where a test needs a real store.
var layers = map[string]layer{
	module: {
		uses: []string{
			"restante/api", "restante/handlers", "restante/handlers/welcome", "restante/internal/bench",
			"restante/internal/coalesce", "restante/internal/conformance", "restante/internal/goruntime", "restante/internal/idleconn", "restante/internal/listen", "restante/internal/logqueue", "restante/internal/munin", "restante/internal/operator",
			"restante/internal/rules", "restante/internal/token", "restante/internal/tracing", "restante/rendezvous", "restante/repo", "restante/web",
			"restante/webhooks",
		},
		bans: map[string]string{"database/sql": noSQL},
		tests: map[string]string{
			"restante/internal/tracing/tracingtest": "they receive what the program exports",
			"restante/openapi":                      "the contract and the program have one version",
			"restante/internal/e2e":                 "the program explains itself only when it runs",
		},
	},
	"restante/internal/units": {
		stdlib: "it writes numbers for people",
	},
	"restante/internal/munin": {
		stdlib: "it prints numbers",
		bans: map[string]string{
			"net/http":     "it is told what there is to print, however that was found out",
			"database/sql": noSQL,
		},
	},
	"restante/internal/operator": {
		uses: []string{"restante/api", "restante/internal/listen", "restante/internal/units"},
		bans: map[string]string{
			"restante/rendezvous": "it knows a server by its contract",
			"database/sql":        noSQL,
		},
	},
	"restante/internal/bench": {
		bans: map[string]string{"database/sql": noSQL},
	},
	"restante/internal/conformance": {
		uses:   []string{"restante/openapi"},
		allows: map[string]string{"github.com/getkin/kin-openapi": "it checks the answers of any server, and does not serve"},
		bans: map[string]string{
			"restante/api":        "a rule taken from the server is no check of it",
			"restante/rendezvous": "a rule taken from the server is no check of it",
			"database/sql":        noSQL,
		},
	},
	"restante/webhooks": {
		uses: []string{"restante/rendezvous"},
		bans: map[string]string{
			"restante/repo":     "what is to be told, the use cases say; only main knows how it is stored",
			"restante/handlers": "it is a client of other servers, and serves no request",
			"database/sql":      noSQL,
		},
		tests: map[string]string{"restante/repo": "what survives a process is in a real store", "restante/internal/testgate": "some start a real PostgreSQL"},
	},
	"restante/handlers": {
		uses: []string{
			"restante/api", "restante/handlers/welcome", "restante/handlers/wormhole", "restante/internal/idleconn",
			"restante/internal/jsonobject", "restante/internal/logsample", "restante/internal/rules", "restante/internal/tracing", "restante/internal/units", "restante/internal/ws", "restante/openapi", "restante/rendezvous", "restante/session",
		},
		bans: map[string]string{
			"restante/repo":         "HTTP does not know how anything is stored; only main knows both",
			"restante/internal/hub": "who waits for what, the use cases decide",
			"database/sql":          noSQL,
			"github.com/jmoiron":    noSQL,
		},
		tests: map[string]string{
			"restante/repo":                         "they ask a server that has a real store",
			"restante/handlers/handlerstest":        "it starts the server that they ask",
			"restante/internal/tracing/tracingtest": "they receive what it traces",
			"restante/internal/testclient":          "its wormhole client meets their sessions",
			"restante/internal/token":               "they send tokens that are really signed",
		},
	},
	"restante/handlers/welcome": {
		stdlib: "what clients are told is values and arithmetic",
		bans: map[string]string{
			"net/http":     "two protocols greet with it, and only one of them is HTTP",
			"database/sql": noSQL,
		},
	},
	"restante/handlers/wormhole": {
		uses: []string{"restante/handlers/welcome", "restante/internal/jsonobject", "restante/internal/rules", "restante/internal/tracing", "restante/internal/ws", "restante/rendezvous"},
		bans: map[string]string{
			"net/http":     "it gets a WebSocket that is open; only handlers answers requests",
			"restante/api": "the contract does not describe this protocol",
			"database/sql": noSQL,
		},
		tests: map[string]string{
			"restante/handlers":            "it opens the WebSocket and starts the server that they ask",
			"restante/internal/testclient": "it is their client",
		},
	},
	"restante/handlers/handlerstest": {
		uses: []string{
			"restante/handlers", "restante/handlers/welcome", "restante/internal/idleconn", "restante/internal/leaks", "restante/internal/testclient",
			"restante/internal/tracing", "restante/rendezvous", "restante/repo",
		},
		testOnly: "it runs the server in tests, and looks at what it has stored",
	},
	"restante/internal/tracing": {
		bans:  map[string]string{"database/sql": "it is told what happens, and looks at nothing"},
		tests: map[string]string{"restante/internal/tracing/tracingtest": "they receive what it exports"},
	},
	"restante/internal/tracing/tracingtest": {
		testOnly: "it receives traces to test with",
		bans:     map[string]string{"restante/internal/tracing": "it knows the protocol only, as any receiver"},
	},
	"restante/internal/ws": {
		uses: []string{"restante/internal/idleconn"},
		bans: map[string]string{
			"database/sql": "it is a connection, whatever is spoken on it",
		},
		tests: map[string]string{
			"restante/internal/leaks":      leavesNothing,
			"restante/internal/testclient": "its client goes on sending when a connection ends",
		},
	},
	"restante/internal/jsonobject": {
		stdlib: "it reads JSON, and nothing else",
		bans: map[string]string{
			"net/http": "it reads JSON, wherever it comes from",
		},
	},
	"restante/rendezvous": {
		uses:   []string{"restante/internal/hub", "restante/internal/logcache", "restante/internal/presence", "restante/session"},
		stdlib: "the domain is plain Go: no library shapes it",
		bans: map[string]string{
			"net/http":           "the use cases serve whichever protocol asks",
			"database/sql":       noSQL,
			"github.com/jmoiron": noSQL,
			"restante/api":       "the domain has words of its own; handlers translate",
		},
		tests: map[string]string{
			"restante/repo":    "a fake store would only agree with itself; a real one may need a real server",
			"restante/openapi": "they hold frames, which are stored as they are sent, to the contract",
			"database/sql":     "they spoil rows, for pruning to survive",
		},
	},
	"restante/internal/bounded": {
		stdlib: "it ends what hangs, and must not hang itself",
		tests:  map[string]string{"restante/internal/testgate": "they compile and run tests"},
	},
	"restante/internal/leaks": {
		testOnly: "it looks at what tests leave",
	},
	"restante/internal/testgate": {
		testOnly: "it is for tests that start a lot",
		stdlib:   "it counts tests and does not know what they start",
	},
	"restante/internal/testclient": {
		uses:     []string{"restante/session"},
		testOnly: "it is a client to test the server with",
		bans:     map[string]string{"database/sql": "it knows only what a client knows"},
	},
	"restante/internal/e2e": {
		uses:     []string{"restante/internal/testclient", "restante/internal/testgate", "restante/repo/pgtest"},
		testOnly: "it runs the program to test it",
		bans:     map[string]string{"database/sql": noSQL},
		tests: map[string]string{
			"restante/internal/bench":    "the program's benchmark reports what it measures",
			"restante/internal/logqueue": "they log more than it holds",
			"restante/session":           "they make session ids",
			"database/sql":               "they look at what the program has stored",
		},
	},
	"restante/internal/e2e/page": {
		uses:     []string{"restante/internal/testclient"},
		testOnly: "it is tests",
		tests:    map[string]string{"restante/internal/e2e": "they run the program", "restante/internal/testgate": "they start browsers"},
	},
	"restante/internal/e2e/abuse": {
		uses:     []string{"restante/internal/testclient"},
		testOnly: "it is tests",
		tests:    map[string]string{"restante/internal/e2e": "they run the program"},
	},
	"restante/internal/e2e/wormhole": {
		uses:     []string{"restante/internal/testclient"},
		testOnly: "it is tests",
		tests: map[string]string{
			"restante/internal/e2e":      "they run the program",
			"restante/internal/testgate": "several transfers share a slot",
			"database/sql":               "they look at what the program has stored",
		},
	},
	"restante/session": {
		stdlib: "a session is values and arithmetic",
		bans: map[string]string{
			"net":                "a session outlives every connection",
			"database/sql":       "a session does not know that it is stored",
			"github.com/jmoiron": "a session does not know that it is stored",
		},
	},
	"restante/internal/memstore": {
		uses: []string{"restante/rendezvous", "restante/session"},
		bans: map[string]string{
			"net":           "it is memory",
			"restante/repo": "it shares nothing with the real stores but their suite, so that it shares none of their mistakes",
			"database/sql":  noSQL,
		},
		tests: map[string]string{"restante/repo/repotest": "every store passes this suite", "net": "so does that suite's library"},
	},
	"restante/internal/simulation": {
		uses: []string{"restante/internal/memstore", "restante/internal/presence", "restante/rendezvous", "restante/session"},
		bans: map[string]string{
			"net":           "the network that it simulates is a choice of a seed",
			"restante/repo": "a database is too slow for millions of histories",
			"database/sql":  noSQL,
		},
		testOnly: "it tries to break the use cases",
	},
	"restante/internal/apifuzz": {
		uses:     []string{"restante/handlers", "restante/handlers/handlerstest", "restante/handlers/welcome", "restante/internal/memstore", "restante/openapi", "restante/rendezvous", "restante/session"},
		testOnly: "it sends requests to the server of tests",
		bans: map[string]string{
			"restante/api": "it knows the contract as it is written, and not as it was generated",
			"database/sql": noSQL,
		},
	},
	"restante/internal/logcache": {
		stdlib: "it remembers entries and does not know what they are",
		bans: map[string]string{
			"net":          "it is told what is new, however that came",
			"database/sql": "the caller reads the storage, the cache does not",
		},
	},
	"restante/internal/presence": {
		uses:   []string{"restante/session"},
		stdlib: "it is a table in memory",
		bans: map[string]string{
			"net":          "a sign of life is one on every transport",
			"database/sql": "the caller writes down what it takes from the table",
		},
	},
	"restante/internal/hub": {
		stdlib: "it wakes requests and does not know what for",
		bans: map[string]string{
			"net":          "it wakes requests, whatever connects their clients",
			"database/sql": "a wake is a hint and carries no data",
		},
		tests: map[string]string{"restante/internal/leaks": leavesNothing},
	},
	"restante/internal/coalesce": {
		stdlib: "it knows times and functions, and not what they are for",
	},
	"restante/internal/workers": {
		stdlib: "it runs functions and does not know what they do",
		tests:  map[string]string{"restante/internal/leaks": leavesNothing},
	},
	"restante/internal/idleconn": {
		stdlib: "it holds connections and does not know what they wait for",
		uses:   []string{"restante/internal/workers"},
		bans: map[string]string{
			"database/sql": "it holds connections, and nothing else",
		},
		tests: map[string]string{"restante/internal/leaks": leavesNothing},
	},
	"restante/internal/logsample": {
		stdlib: "it counts what is logged, and nothing else",
		bans:   map[string]string{"database/sql": noSQL},
	},
	"restante/internal/logqueue": {
		stdlib: "it passes lines on, and does not know what they say",
		bans:   map[string]string{"database/sql": noSQL},
	},
	"restante/internal/listen": {
		uses: []string{"restante/internal/logsample"},
		bans: map[string]string{
			"database/sql": "it opens sockets, and nothing else",
		},
		tests: map[string]string{"restante/internal/leaks": leavesNothing},
	},
	"restante/internal/rules": {
		bans: map[string]string{
			"net/http":     "two protocols obey the rules, and only one of them is HTTP",
			"database/sql": "rules are in files",
		},
	},
	"restante/internal/token": {
		bans: map[string]string{
			"net":          "it verifies what it is given, however that came; keys are read from files",
			"database/sql": "what a token allows is for others to decide and to store",
		},
	},
	"restante/internal/goruntime": {
		stdlib: "it sets the Go runtime, and nothing else",
		bans: map[string]string{
			"database/sql": "it sets the Go runtime, and nothing else",
		},
	},
	"restante/cmd/torture": {
		uses: []string{"restante/internal/torture"},
		bans: map[string]string{
			"database/sql": "the nemesis does all that there is to do",
		},
	},
	"restante/internal/torture": {
		// It knows the contract and the wormhole protocol, and counts rows at the end: database/sql is not banned.
		uses: []string{"restante/openapi"},
		bans: map[string]string{
			"restante/api":        "the server's own types would hide the server's own mistakes",
			"restante/rendezvous": "it is a black box's opponent: a rule taken from the server is no check of it",
			"github.com/jmoiron":  noSQL,
		},
		tests: map[string]string{"restante/internal/testgate": "they run servers"},
	},
	"restante/repo": {
		uses: []string{"restante/internal/workers", "restante/rendezvous", "restante/session"},
		bans: map[string]string{
			"restante/handlers":     "storing does not know who asks; only main knows both",
			"restante/internal/hub": "a commit is told through AfterCommit; what that wakes is the domain's business",
			"net/http":              "storing does not know who asks",
		},
		tests: map[string]string{
			"restante/internal/leaks": leavesNothing,
			"restante/repo/repotest":  "every store passes this suite",
			"restante/repo/pgtest":    "PostgreSQL is tested on PostgreSQL",
		},
	},
	"restante/repo/pgtest": {
		testOnly: "it starts throw-away servers",
		bans: map[string]string{
			"restante/repo": "it does not know what is stored in its databases",
		},
	},
	"restante/repo/repotest": {
		uses:     []string{"restante/rendezvous", "restante/session"},
		testOnly: "it is the suite of tests that every store passes",
		bans: map[string]string{
			"restante/repo": "the suite knows stores by their interface only",
			"database/sql":  "the suite knows stores by their interface only",
		},
	},
	"restante/api":     {bans: map[string]string{"database/sql": noSQL}},
	"restante/openapi": {bans: map[string]string{"database/sql": noSQL}},
	"restante/web":     {stdlib: "it is files"},
}

// forTests are imports that only tests may have, with everything below them.
var forTests = map[string]string{
	"testing":                       "it brings test flags into the program",
	"net/http/httptest":             "it is no server",
	"github.com/getkin/kin-openapi": "it takes twenty times as long as the validation that is served, which it checks",
	"github.com/google/go-cmp":      "it panics where a program must not",
	"go.uber.org/goleak":            "it is no part of a program",
	"pgregory.net/rapid":            "it is no part of a program",
}

// confined are imports that one package of ours may have, with everything below them: its path, and why.
var confined = map[string]struct{ to, why string }{
	"go.opentelemetry.io": {"restante/internal/tracing", "OpenTelemetry shapes nothing here: the use cases tell an Observer, and handlers a Tracer"},
}
