package handlers

import (
	"context"
	"errors"
	"os"
	"runtime/debug"
	"time"

	"restante/internal/idleconn"
)

// detachedStream is an event stream that has left its request. It has a goroutine only while there is something to
// send.
type detachedStream struct {
	*eventStream

	ctx      context.Context // ends when the client hangs up
	cancel   context.CancelFunc
	answer   *idleconn.Answer
	info     *requestInfo
	endOf    func() // the request has ended
	complete bool   // all was sent, the reason for the end included
}

// goOn has a stream go on once the handler of its request has returned. ctx and info are the request's.
func goOn(ctx context.Context, e *eventStream, answer *idleconn.Answer, info *requestInfo) {
	d := &detachedStream{eventStream: e, answer: answer, info: info}
	d.ctx, d.cancel = context.WithCancel(detached(ctx))
	info.goesOn = func(end func()) {
		info.goesOn, d.endOf = nil, end
		info.receives = receiving{} // which would keep the request in memory
		answer.OnHangUp(func() {
			d.cancel()
			d.frames.Wake()
		})
		go d.run()
	}
}

// run sends what there is. Then it leaves its goroutine, and runs again when there may be more.
func (d *detachedStream) run() {
	waits := false
	defer func() {
		if v := recover(); v != nil {
			d.server.Log.Error("panic", "value", v, "stack", string(debug.Stack()))
		}
		if !waits { // also after a panic
			d.finish()
		}
	}()
	if waits = d.sendAll(); waits {
		d.frames.OnReady(func() { go d.run() })
	}
}

// sendAll sends what there is. It returns true if there is nothing more, and false once the stream has ended. After
// frames, it waits a while for more.
func (d *detachedStream) sendAll() (waits bool) {
	linger := time.Duration(0)
	for {
		got, beat, answered, err := d.frames.Wait(d.ctx, linger)
		switch {
		case d.ctx.Err() != nil: // the client has left
			d.info.err = d.ctx.Err()
			return false
		case err != nil:
			d.info.err = d.end(err, func(events []byte) error {
				err := d.write(events)
				d.complete = err == nil
				return err
			})
			return false
		case !answered:
			return true
		}
		if err := d.deliver(d.ctx, got, beat, d.write); err != nil {
			d.info.err = err
			return false
		}
		if linger = 0; len(got.Frames) > 0 {
			linger = d.server.Limits.Linger
		}
	}
}

// write sends events. A client that does not read them is cut off.
func (d *detachedStream) write(events []byte) error {
	err := d.answer.Write(events, d.server.Limits.WriteTime)
	switch {
	case err == nil:
		d.info.sent += int64(len(events))
	case errors.Is(err, os.ErrDeadlineExceeded):
		d.server.closedAt(limitSlowReader, d.address)
	}
	return err
}

// finish ends the stream, and gives the connection back if its answer is complete.
func (d *detachedStream) finish() {
	complete := d.complete && d.ctx.Err() == nil
	d.cancel()
	d.close()
	d.endOf()
	if complete {
		d.answer.Finish(d.server.Limits.WriteTime)
	} else {
		d.answer.Close()
	}
}
