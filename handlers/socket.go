package handlers

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/go-playground/validator/v10"
	"github.com/gorilla/websocket"

	"restante/api"
	"restante/internal/jsonobject"
	"restante/internal/ws"
	"restante/rendezvous"
	"restante/session"
)

// socket is GET /v1/session/socket.
func (s *Server) socket(w http.ResponseWriter, r *http.Request) {
	if !websocket.IsWebSocketUpgrade(r) {
		if r.ProtoMajor == 1 { // HTTP/2 forbids headers of a connection (RFC 9113, §8.2.2)
			w.Header().Set("Upgrade", "websocket")
			w.Header().Set("Connection", "Upgrade") // RFC 9110, §7.8
		}
		s.fail(w, r, &rendezvous.Failure{Code: upgradeRequired, Detail: "this path speaks only WebSocket (RFC 6455)"})
		return
	}
	if !s.sameOrigin(r) {
		s.fail(w, r, otherOrigin(r))
		return
	}
	ctx, cancel := context.WithCancel(detached(r.Context()))
	config := s.Service.Config
	idleTimeout := config.HeartbeatInterval*time.Duration(config.HeartbeatsUntilDead) + s.Limits.WriteTime
	conn, leave := s.upgrade(ctx, cancel, w, r, nil, idleTimeout)
	if conn == nil {
		cancel()
		return
	}
	c := &sessionSocket{Conn: conn, server: s, cancel: cancel, address: addressOf(r.Context()), opening: s.openingOf(r), count: hold(&s.open.sockets), leave: leave}
	conn.Go(func() { c.serve(ctx) })
}

// otherOrigin refuses a page that may not open a socket.
func otherOrigin(r *http.Request) *rendezvous.Failure {
	return &rendezvous.Failure{Code: rendezvous.RejectedByCustomHandler, Detail: fmt.Sprintf(
		"pages of %.100q are not admitted: this request is for %.100q; if that is not what the browser asked for, the proxy must pass Host on; "+
			"for a page of another origin, the operator can allow it with --cors-origins", r.Header.Get("Origin"), r.Host)}
}

// sessionSocket is the WebSocket of one session. One goroutine at a time reads and answers commands, and another
// delivers frames. While nothing happens, there is neither. Adds that are under way have goroutines of their own.
type sessionSocket struct {
	*ws.Conn
	server     *Server
	cancel     context.CancelFunc
	address    string
	opening    opening
	count      func() // counts the socket as closed
	leave      func() // gives its place back
	credential string // for the commands
	key        session.Key
	frames     *rendezvous.Stream // nil until the client has identified itself

	commands   sync.Mutex // held while a command is done and answered, or an add begins; guards ended
	ended      bool       // nothing is answered any more
	adds       pipeline
	delivering sync.WaitGroup // until no frames are delivered any more
}

// serve identifies the client, and then delivers frames and answers commands until the socket ends.
func (c *sessionSocket) serve(ctx context.Context) {
	goesOn := false
	defer func() {
		if !goesOn { // also after a panic
			c.close()
		}
	}()
	late := time.AfterFunc(c.server.Limits.Identify, func() {
		c.server.closedAt(limitIdentify, c.address)
		c.SendClose(&ws.CloseError{Code: websocket.ClosePolicyViolation, Reason: "did not identify in time"})
	})
	defer late.Stop()
	c.OnControl(func() {})
	ask, err := c.identify()
	if !late.Stop() && err == nil {
		return // it is too late, and the client has been told
	}
	var first rendezvous.Delivery
	if err == nil {
		c.frames, first, err = c.server.Service.Stream(ctx, ask)
	}
	if err != nil {
		c.end(ctx, err)
		return
	}
	c.OnControl(c.frames.Alive)
	if err := c.Send(encodeMessage("heartbeat", heartbeat(first))); err != nil {
		return
	}
	c.delivering.Add(1)
	c.Go(func() { c.deliver(ctx) })
	goesOn = true
	commands := asCommands(withEpoch(ctx, c.frames.Epoch()))
	c.Go(func() {
		c.Serve(c.server.Limits.Linger, func() error { return c.handleNext(commands) }, func(why error) {
			c.close()
			c.server.Log.LogAttrs(ctx, slog.LevelDebug, "session socket closed", slog.Any("error", why))
		})
	})
}

// close closes the socket and releases all that it holds.
func (c *sessionSocket) close() {
	c.adds.drain() // what was read is added, also if the client is gone
	c.cancel()
	if c.frames != nil {
		c.frames.Wake()
		c.delivering.Wait()
		c.frames.Close()
	}
	_ = c.Close() // the client has received what it will
	c.count()
	c.leave()
}

// identify reads the first message: which session this is, and which frames it wants.
func (c *sessionSocket) identify() (rendezvous.ReceiveRequest, error) {
	raw, err := c.readMessage()
	if err != nil {
		return rendezvous.ReceiveRequest{}, err
	}
	var said api.SocketIdentify
	if err := decodeMessage(raw, &said); err != nil {
		return rendezvous.ReceiveRequest{}, err
	}
	id, err := session.ParseID(said.SessionID)
	if err != nil {
		return rendezvous.ReceiveRequest{}, err // validated
	}
	c.key, c.credential = id.Key(), said.SessionID
	ask := rendezvous.ReceiveRequest{Session: c.key, Ack: number(said.Ack)}
	if said.Epoch != nil {
		ask.Epoch = new(session.Epoch(*said.Epoch))
	}
	return ask, nil
}

// readMessage reads a message. If it is too large, it returns its beginning and an [http.MaxBytesError].
func (c *sessionSocket) readMessage() ([]byte, error) {
	raw, err := c.Read()
	raw = bytes.TrimPrefix(raw, []byte("\ufeff")) // a byte order mark says nothing
	if errors.Is(err, ws.ErrTooLarge) {
		return raw, &http.MaxBytesError{Limit: c.server.Limits.Body}
	}
	return raw, err
}

// deliver sends frames and heartbeats. Then it leaves its goroutine, and delivers again when there may be more.
func (c *sessionSocket) deliver(ctx context.Context) {
	waits := false
	defer func() {
		if !waits { // also after a panic
			c.delivering.Done()
		}
	}()
	var err error
	if waits, err = c.deliverAll(ctx); waits {
		c.frames.OnReady(func() { c.Go(func() { c.deliver(ctx) }) })
		return
	}
	c.end(ctx, err)
}

// deliverAll sends what there is. waits reports that there is nothing more; otherwise, err is why the stream or the
// socket has ended. After frames, it waits a while for more.
func (c *sessionSocket) deliverAll(ctx context.Context) (waits bool, err error) {
	linger := time.Duration(0)
	for {
		got, beat, answered, err := c.frames.Wait(ctx, linger)
		if err != nil || !answered {
			return err == nil, err
		}
		if err := c.sendFrames(ctx, got.Frames); err != nil {
			return false, err
		}
		if beat {
			if err := c.Send(encodeMessage("heartbeat", heartbeat(got))); err != nil {
				return false, err
			}
			if err := c.Ping(); err != nil {
				return false, err
			}
			c.WakeIfGone(c.frames.Interval() + beatSlack)
		}
		if linger = 0; len(got.Frames) > 0 {
			linger = c.server.Limits.Linger
		}
	}
}

// beatSlack is by how much the next heartbeat may be late.
const beatSlack = time.Second

// sendFrames sends frames, and traces that.
func (c *sessionSocket) sendFrames(ctx context.Context, frames [][]byte) (err error) {
	if len(frames) == 0 {
		return nil
	}
	_, span := c.server.Tracer.Start(ctx, "deliver")
	span.DeliversFrames(frames)
	for _, frame := range frames {
		if err = c.Send(frameMessage(frame)); err != nil {
			break
		}
	}
	span.End(err)
	return err
}

// handleNext reads one message and handles it. A command that fails gets its failure as the reply, also if it is no
// valid message and its id can be read. Any other message that is wrong ends the socket with its failure.
func (c *sessionSocket) handleNext(ctx context.Context) error {
	raw, err := c.readMessage()
	tooLarge, isTooLarge := errors.AsType[*http.MaxBytesError](err)
	if err != nil && !isTooLarge {
		return err
	}
	c.frames.Alive()
	c.commands.Lock()
	defer c.commands.Unlock()
	if c.ended {
		return nil // it would not be answered, so it is not done
	}
	var reply []byte
	if isTooLarge {
		c.adds.drain()
		reply, err = c.refuse(ctx, raw, tooLarge)
	} else {
		reply, err = c.handle(ctx, raw)
	}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		c.endLocked(ctx, err)
		return nil
	case reply == nil:
		return nil
	}
	return c.Send(reply)
}

// handle does what a message says, and returns the reply, if it gets one. Adds begin before those ahead of them are
// answered, and are answered later; anything else waits until they are.
func (c *sessionSocket) handle(ctx context.Context, raw []byte) ([]byte, error) {
	if o, is := jsonobject.Parse(raw); is && !o.Has("method") && !o.Has("path") {
		c.adds.drain()
		return nil, c.acknowledge(ctx, raw)
	}
	var command api.SocketCommand
	err := decodeMessage(raw, &command)
	if err == nil && isAdd(command) {
		c.beginAdd(ctx, command, len(raw))
		return nil, nil
	}
	c.adds.drain()
	if err != nil {
		return c.refuse(ctx, raw, err)
	}
	return c.answer(ctx, command)
}

// answer does a command and returns the reply.
func (c *sessionSocket) answer(ctx context.Context, command api.SocketCommand) ([]byte, error) {
	reply, err := c.command(ctx, command)
	if err != nil {
		return nil, err
	}
	return encode(reply), nil
}

// acknowledge does what a message says that is no command.
func (c *sessionSocket) acknowledge(ctx context.Context, raw []byte) error {
	if err := c.server.throttle(ctx, c.address); err != nil {
		return err
	}
	var said api.Acknowledgement
	if err := decodeMessage(raw, &said); err != nil {
		return err
	}
	if said.Epoch != nil {
		ctx = withEpoch(ctx, session.Epoch(*said.Epoch))
	}
	_, err := c.server.Service.Acknowledge(ctx, rendezvous.Query{Session: c.key, Ack: number(said.Ack), Epoch: epochOf(ctx)})
	return err
}

// closeCodes are the failures for which RFC 6455 has a close code.
var closeCodes = map[rendezvous.Code]int{rendezvous.Draining: websocket.CloseGoingAway, payloadTooLarge: websocket.CloseMessageTooBig}

// end sends the reason why the socket ends, and closes it.
func (c *sessionSocket) end(ctx context.Context, why error) {
	c.commands.Lock() // commands that are under way are answered first
	defer c.commands.Unlock()
	c.adds.drain()
	c.endLocked(ctx, why)
}

func (c *sessionSocket) endLocked(ctx context.Context, why error) {
	if c.ended || ctx.Err() != nil || !isClientError(why) {
		return
	}
	c.ended = true
	p := c.server.finalProblem(why, c.address)
	code := 4000 + int(p.Status)
	if special, is := closeCodes[rendezvous.Code(p.Code)]; is {
		code = special
	}
	if err := c.Send(encodeMessage("error", p)); err == nil {
		c.SendClose(&ws.CloseError{Code: code, Reason: string(p.Code) + " " + string(p.Action)})
	}
}

// isClientError reports whether an error is for the client, and not one of its connection.
func isClientError(err error) bool {
	_, failure := errors.AsType[*rendezvous.Failure](err)
	_, bad := errors.AsType[*invalid](err)
	_, large := errors.AsType[*http.MaxBytesError](err)
	return failure || bad || large
}

// decodeMessage decodes a message strictly, and checks it against its rules.
func decodeMessage(raw []byte, into any) error {
	if err := decodeJSON(raw, into); err != nil {
		return err
	}
	err := validate.Struct(into)
	if broken, is := errors.AsType[validator.ValidationErrors](err); is {
		bad := &invalid{code: rendezvous.InvalidRequest}
		bad.add("#/body/", broken)
		return bad
	}
	return err
}

// decodeJSON decodes a body strictly.
func decodeJSON(raw []byte, into any) error {
	if err := api.DecodeJSON(bytes.NewReader(raw), into); err != nil {
		where, rule, said := decodingViolation(err)
		return &invalid{rendezvous.InvalidRequest, violations("#/body"+fragment(where), rule, said)}
	}
	return nil
}

// encodeMessage encodes a message to the client: an object with one member, whose name says what it is.
func encodeMessage(kind string, content any) []byte { return encode(map[string]any{kind: content}) }

// frameMessage returns the message with a frame, which is as encodeMessage would write it.
func frameMessage(frame []byte) []byte {
	const before, after = `{"frame":`, `}`
	message := make([]byte, 0, len(before)+len(frame)+len(after))
	return append(append(append(message, before...), frame...), after...)
}

func encode(content any) []byte {
	var text bytes.Buffer
	message := json.NewEncoder(&text)
	message.SetEscapeHTML(false)
	if err := message.Encode(content); err != nil {
		panic("unreachable: what the contract describes always encodes: " + err.Error())
	}
	return bytes.TrimSuffix(text.Bytes(), []byte("\n"))
}
