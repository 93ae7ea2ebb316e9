package handlers

import (
	"encoding/json"
	"net/http/httptest"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"restante/api"
	"restante/rendezvous"
	"restante/session"
)

// TestAnswersToAPollAreAsTheContractEncodesThem compares the answers that are joined from frames with what is generated
// from the contract, byte by byte, and so the messages of a socket.
func TestAnswersToAPollAreAsTheContractEncodesThem(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := rendezvous.Delivery{
			Wanted: session.Seq(rapid.Int64Range(0, 1<<53-1).Draw(t, "wanted")), NextWait: time.Duration(rapid.Int64Range(0, 1<<40).Draw(t, "wait")),
			Now: time.UnixMilli(rapid.Int64Range(0, 1<<50).Draw(t, "now")),
		}
		generated := api.Receive200JSONResponse{
			Ack: int64(d.Wanted), Frames: []api.Frame{}, NextWaitMs: d.NextWait.Milliseconds(), ServerTime: d.Now.UnixMilli(),
		}
		text := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"<b>&\u2028\u2029", "\"\\/\n\x00", "\ufffd😀"}))
		for range rapid.IntRange(0, 3).Draw(t, "frames") {
			m := rendezvous.Message{Position: 1, Draft: rendezvous.Draft{Phase: text.Draw(t, "phase"), Body: text.Draw(t, "body")}, Side: rendezvous.Side(text.Draw(t, "side")), Received: d.Now}
			frame := rendezvous.Encode(rendezvous.MessageFrame{Message: m}, "m", session.Seq(len(d.Frames)))
			d.Frames = append(d.Frames, frame)
			generated.Frames = append(generated.Frames, api.Frame(frame))
			if got, want := string(frameMessage(frame)), string(encodeMessage("frame", json.RawMessage(frame))); got != want {
				t.Fatalf("over a socket, it is\n%s, want\n%s", got, want)
			}
		}
		generated.Heartbeat = len(d.Frames) == 0
		got, want := httptest.NewRecorder(), httptest.NewRecorder()
		if err := received(d).VisitReceiveResponse(got); err != nil {
			t.Fatal(err)
		}
		if err := generated.VisitReceiveResponse(want); err != nil {
			t.Fatal(err)
		}
		if got.Body.String() != want.Body.String() || got.Code != want.Code || !reflect.DeepEqual(got.Header(), want.Header()) {
			t.Fatalf("it is %d %v\n%s, want %d %v\n%s", got.Code, got.Header(), got.Body, want.Code, want.Header(), want.Body)
		}
	})
}
