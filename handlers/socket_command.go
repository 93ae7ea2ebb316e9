package handlers

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"restante/api"
	"restante/rendezvous"
)

// commandsKey marks the context of the commands of a socket.
type commandsKey struct{}

// asCommands returns the context of the commands of a socket.
func asCommands(ctx context.Context) context.Context {
	return context.WithValue(ctx, commandsKey{}, true)
}

// isCommand reports whether a request is the command of a socket. It must not wait for anything to happen: meanwhile, its
// socket would hear neither commands nor pings, nor be told that it is superseded.
func isCommand(ctx context.Context) bool { return ctx.Value(commandsKey{}) != nil }

// command does a command as the request that it stands for. It passes all that such a request passes: limits, rules,
// handlers and the log. One with a path that takes no commands passes all of these but the handlers.
func (c *sessionSocket) command(ctx context.Context, command api.SocketCommand) (api.SocketReply, error) {
	reply := api.SocketReply{ID: command.ID, Seq: command.Seq}
	handler := c.server.routes
	target, _ := url.ParseRequestURI(command.Path)
	if target == nil || command.Path[0] != '/' || !takesCommands(target.Path) {
		handler, target = c.server.noCommand, &url.URL{} // no path is spared a limit here, as those of probes are
	}
	w := &recorder{header: http.Header{}}
	handler.ServeHTTP(w, c.request(ctx, command, target))
	if w.status == 0 {
		return reply, context.Cause(ctx) // the client has left meanwhile
	}
	reply.Reply = w.reply()
	if wanted, err := strconv.ParseInt(w.header.Get("Ack"), 10, 64); err == nil {
		reply.Ack = &wanted
	}
	return reply, nil
}

// takesCommands reports whether a path belongs to an operation of a session, except for receiving: that would end the
// socket, which receives itself.
func takesCommands(path string) bool {
	return path == "/v1/session" || path == "/v1/session/ack" || path == "/v1/session/metadata" ||
		path == "/v1/nameplates" || strings.HasPrefix(path, "/v1/nameplates/") || strings.HasPrefix(path, "/v1/mailboxes/")
}

// opening is what the commands of a socket need of the request that opened it. The rest is not kept in memory.
type opening struct {
	host, remote string
	tls          *tls.ConnectionState
	forwarded    []string // names the client, if the proxy is trusted
}

func (s *Server) openingOf(r *http.Request) opening {
	return opening{host: r.Host, remote: r.RemoteAddr, tls: r.TLS, forwarded: slices.Clone(r.Header.Values(s.forwardedHeader()))}
}

// request returns the request that a command stands for.
func (c *sessionSocket) request(ctx context.Context, command api.SocketCommand, target *url.URL) *http.Request {
	o := &c.opening
	r := (&http.Request{
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, // which WebSocket begins with: RFC 6455, §4.1
		Host: o.host, RemoteAddr: o.remote, TLS: o.tls,
	}).WithContext(ctx)
	r.Method, r.URL, r.RequestURI = string(command.Method), target, command.Path
	r.Header = http.Header{"Authorization": {"Bearer " + c.credential}}
	if len(o.forwarded) > 0 {
		r.Header[http.CanonicalHeaderKey(c.server.forwardedHeader())] = o.forwarded
	}
	for name, n := range map[string]*int64{"Seq": command.Seq, "Ack": command.Ack} {
		if n != nil {
			r.Header.Set(name, strconv.FormatInt(*n, 10))
		}
	}
	r.Body, r.ContentLength = http.NoBody, 0
	if command.Body != nil {
		r.Header.Set("Content-Type", "application/json")
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(*command.Body)), int64(len(*command.Body))
	}
	return r
}

// refuse returns the reply to a message that is no valid command, or the error itself if it has no id that can be
// read: then no command would learn of it. Like a request, it counts against the client's rate.
func (c *sessionSocket) refuse(ctx context.Context, raw []byte, why error) ([]byte, error) {
	id, ok := commandID(raw)
	if !ok {
		return nil, why
	}
	if exhausted := c.server.limiters.allow(c.address, time.Now()); exhausted != nil {
		exhausted.slowDown(ctx, c.server.Service.Stopping())
		why = errRateLimited
		c.server.logRefusedCommand(errRateLimited.Code, c.address)
	}
	p := c.server.finalProblem(why, c.address)
	return encode(api.SocketReply{ID: &id, Reply: api.Reply{Status: p.Status, Body: new(json.RawMessage(encode(p)))}}), nil
}

// maxCommandID is the length of the longest id of a command, in characters.
const maxCommandID = 128

// commandID returns the id of a command whose message is not valid, or is only its beginning. It returns false if
// what precedes the id cannot be read, or if the id breaks the contract.
func commandID(raw []byte) (id string, ok bool) {
	members := json.NewDecoder(bytes.NewReader(raw))
	if start, err := members.Token(); err != nil || start != json.Delim('{') {
		return "", false
	}
	for members.More() {
		name, err := members.Token()
		if err != nil {
			return "", false
		}
		var value json.RawMessage
		if err := members.Decode(&value); err != nil {
			return "", false
		}
		if name == "id" {
			valid := value[0] == '"' && utf8.Valid(value) && json.Unmarshal(value, &id) == nil
			return id, valid && utf8.RuneCountInString(id) <= maxCommandID && !strings.ContainsRune(id, utf8.RuneError)
		}
	}
	return "", false
}

// refuseCommand answers a command with a path that takes none.
func (s *Server) refuseCommand(w http.ResponseWriter, r *http.Request) {
	s.fail(w, r, &rendezvous.Failure{Code: rendezvous.NotFound, Detail: "this path takes no commands over a socket"})
}

// recorder is an [http.ResponseWriter] that records the answer.
type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

// Header implements [http.ResponseWriter].
func (w *recorder) Header() http.Header { return w.header }

// WriteHeader implements [http.ResponseWriter].
func (w *recorder) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
}

// Write implements [http.ResponseWriter].
func (w *recorder) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.body.Write(b)
}

// reply returns the answer as a reply on a socket.
func (w *recorder) reply() api.Reply {
	r := api.Reply{Status: int64(w.status)}
	for _, name := range []string{"Replayed", "Retry-After"} {
		if value := w.header.Get(name); value != "" {
			if r.Headers == nil {
				r.Headers = &map[string]string{}
			}
			(*r.Headers)[name] = value
		}
	}
	if w.body.Len() > 0 {
		r.Body = new(json.RawMessage(bytes.TrimSpace(w.body.Bytes())))
	}
	return r
}
