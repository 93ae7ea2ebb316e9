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
	"restante/rendezvous"
)

// Server is the HTTP interface. Its fields are set before first use.
type Server struct {
	Service *rendezvous.Service
	Log     *slog.Logger
	// Version is this program's, for the status.
	Version string
	// Started is when the process did.
	Started time.Time
	// Pages are the files of the pages for people, each compressed with gzip: index.html.gz is the page
	// at /, docs.html.gz that at /docs, and in assets is what they refer to.
	Pages fs.FS
	// TrustedProxies are the peers whose X-Forwarded-For and X-Real-IP are believed.
	TrustedProxies []netip.Prefix
	// Origins are those whose pages may ask, besides our own; "*" is all.
	Origins []string
	// Hosts are the hosts that requests may be for, as [CheckHost] takes them; none stands for every host.
	Hosts  []string
	Limits Limits

	settings   atomic.Pointer[welcome.Settings]
	limiters   *limiters // nil: no limit
	challenges *welcome.Challenges
	wormhole   *wormhole.Server
	sockets    sockets
	origins    *cors.Cors   // nil: only our own
	routes     http.Handler // everything that is served, for the commands of a socket
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

// Limits bound requests.
type Limits struct {
	Body       int64         // bytes of a request's body
	BodyTime   time.Duration // in which it must have come
	WriteTime  time.Duration // in which an answer must have gone
	Rate       float64       // requests a second and address; 0 is no limit
	Burst      int           // requests at once and address
	Addresses  int           // addresses remembered for the rate
	HeaderSize int           // bytes of a request's header
	Sockets    int           // sockets and streams of an address
	Identify   time.Duration // in which a socket must have said who it is
	Linger     time.Duration // how long a poll or a socket waits on its goroutine before it waits without one
}

// DefaultLimits are those of a server that nobody configured.
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
		Linger:     100 * time.Millisecond,
	}
}

var _ api.StrictServerInterface = (*Server)(nil)
