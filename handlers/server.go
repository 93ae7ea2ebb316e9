package handlers

import (
	"io/fs"
	"log/slog"
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/rs/cors"

	"restante/api"
	"restante/handlers/welcome"
	"restante/handlers/wormhole"
	"restante/internal/logsample"
	"restante/internal/rules"
	"restante/internal/tracing"
	"restante/rendezvous"
)

// Server is the HTTP interface. Its fields are set before first use.
type Server struct {
	Service *rendezvous.Service
	Log     *slog.Logger
	// Version is the version of the program, for the status.
	Version string
	// Started is when the process started.
	Started time.Time
	// Pages are the files of the pages for people, each compressed with gzip: index.html.gz is the page at /,
	// docs.html.gz is the page at /docs, and assets holds the files that they refer to.
	Pages fs.FS
	// TrustedProxies are the peers whose ForwardedHeader is believed.
	TrustedProxies []netip.Prefix
	// ForwardedHeader is the header in which they name the client; "" stands for [DefaultForwardedHeader].
	ForwardedHeader string
	// Origins are the origins whose pages may use the server, besides its own; "*" stands for all.
	Origins []string
	// Hosts are the hosts that requests may be for, as [CheckHost] takes them; none stands for every host.
	Hosts []string
	// BasePath is the path under which clients reach the server, as [CheckBasePath] takes it; "" stands for the root.
	BasePath string
	// Admin reports that there is an admin side: then metrics and status are not served to clients.
	Admin bool
	// MetricsByApp is how many apps are counted apart; 0 counts nothing by app.
	MetricsByApp int
	// Tracer traces requests; nil traces nothing.
	Tracer *tracing.Tracer
	// RefusedConnections returns how many connections were refused; nil if none are.
	RefusedConnections func() int64
	Limits             Limits

	settings   atomic.Pointer[welcome.Settings]
	rules      atomic.Pointer[rules.Rules]
	logged     logsample.Sampler // what clients can cause as often as they like
	limiters   *limiters         // nil: no limit
	challenges *welcome.Challenges
	wormhole   *wormhole.Server
	sockets    sockets
	large      sockets // answers that may be large
	open       openTransports
	metrics    *metrics
	history    history
	origins    *cors.Cors   // nil: only the server's own
	routes     http.Handler // everything that is served, for the commands of a socket
	noCommand  http.Handler // refuses those whose path takes none

	readiness    remembered[error] // nil: the server is ready
	publicStatus remembered[api.Status]
	fullStatus   remembered[api.Status] // what the operator is told
}

// SetSettings changes what clients are told and asked from now on.
func (s *Server) SetSettings(settings welcome.Settings) { s.settings.Store(&settings) }

// currentSettings returns what clients are told and asked now.
func (s *Server) currentSettings() welcome.Settings {
	if settings := s.settings.Load(); settings != nil {
		return *settings
	}
	return welcome.Settings{}
}

// Limits are the limits of requests and connections.
type Limits struct {
	Body       int64         // bytes of a request's body
	BodyTime   time.Duration // in which it must arrive
	WriteTime  time.Duration // in which the client must read a piece of an answer
	Rate       float64       // requests of an address in a second; 0 for no limit
	Burst      int           // requests of an address at once
	Addresses  int           // addresses whose rate is known
	HeaderSize int           // bytes of a request's header
	Sockets    int           // sockets and streams of an address
	Identify   time.Duration // in which the client of a socket must identify itself or bind
	Metrics    time.Duration // how long an answer with metrics, or with the status, is given again
	Linger     time.Duration // how long a poll or a socket waits on its goroutine before it waits without one
}

// DefaultLimits returns the limits of a server without flags.
func DefaultLimits() Limits {
	return Limits{
		Body:       256 << 10,
		BodyTime:   30 * time.Second,
		WriteTime:  10 * time.Second,
		Rate:       200,
		Burst:      400,
		Addresses:  100_000,
		HeaderSize: 16 << 10,
		Sockets:    200,
		Identify:   5 * time.Second,
		Metrics:    250 * time.Millisecond,
		Linger:     100 * time.Millisecond,
	}
}

var _ api.StrictServerInterface = (*Server)(nil)
