package ws_test

import (
	"encoding/binary"
	"errors"
	"net"
	"slices"
	"testing"

	"github.com/gorilla/websocket"

	"restante/internal/ws"
)

// maxFuzzed is the longest message in this test, in bytes.
const maxFuzzed = 100

// FuzzFraming sends a WebSocket whatever there is. What is read is what another reading of RFC 6455 finds in it, up to
// the first mistake; then the connection ends.
func FuzzFraming(f *testing.F) {
	masked := func(first byte, payload string) []byte {
		frame := []byte{first}
		if len(payload) > 125 {
			frame = append(frame, 0x80|126, byte(len(payload)>>8), byte(len(payload)))
		} else {
			frame = append(frame, 0x80|byte(len(payload)))
		}
		mask := []byte{1, 2, 3, 4}
		frame = append(frame, mask...)
		for i := range len(payload) {
			frame = append(frame, payload[i]^mask[i%4])
		}
		return frame
	}
	text, ping, closing := masked(0x81, "hello"), masked(0x89, "p"), masked(0x88, "\x03\xe8")
	long := make([]byte, maxFuzzed+60)
	for _, frames := range [][]byte{
		{},
		text, slices.Concat(text, text), slices.Concat(masked(0x01, "a"), ping, masked(0x00, "b"), masked(0x80, "c")), closing, slices.Concat(closing, text),
		masked(0x80, "no beginning"), slices.Concat(masked(0x01, "a"), text), masked(0xc1, "reserved"), masked(0x83, "unknown"), masked(0x09, "a ping in parts"), masked(0x81, string(long)),
		slices.Concat(masked(0x01, string(long[:90])), masked(0x80, string(long[:90])), text),
		{0x81, 5, 'h', 'e', 'l', 'l', 'o'},
		{0x81, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
		text[:3], masked(0x82, "\x00\xff"),
	} {
		f.Add(frames)
	}
	f.Fuzz(func(t *testing.T, frames []byte) {
		frames = frames[:min(len(frames), 16<<10)]
		p := openTCP(t, ws.Options{MaxMessage: maxFuzzed})
		p.OnControl(func() {})
		raw, is := p.client.NetConn().(*net.TCPConn)
		if !is {
			t.Fatal("it is no TCP connection")
		}
		if _, err := raw.Write(frames); err != nil {
			t.Fatal(err)
		}
		if err := raw.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		var got []string
		for {
			message, err := p.Read()
			if err != nil && !errors.Is(err, ws.ErrTooLarge) {
				break
			}
			if len(message) > maxFuzzed || err != nil && len(message) != maxFuzzed {
				t.Errorf("it reads %d bytes (%v)", len(message), err)
			}
			got = append(got, string(message))
		}
		if want := messagesIn(frames); !slices.Equal(got, want) {
			t.Errorf("%x is read as %q, want %q", frames, got, want)
		}
	})
}

// messagesIn returns the messages of a client's frames, up to the first mistake, each cut to the longest length.
func messagesIn(b []byte) (messages []string) {
	var message []byte
	begun := false
	defer func() {
		if len(message) > maxFuzzed { // it has no end, and is too long already
			messages = append(messages, string(message[:maxFuzzed]))
		}
	}()
	for len(b) >= 6 {
		final, reserved, kind, masked, size := b[0]&0x80 != 0, b[0]&0x70, int(b[0]&0x0f), b[1]&0x80 != 0, uint64(b[1]&0x7f)
		control := kind >= websocket.CloseMessage
		if reserved != 0 || !masked || control && (size > 125 || !final) {
			return messages
		}
		b = b[2:]
		switch {
		case size == 126:
			size, b = uint64(binary.BigEndian.Uint16(b)), b[2:]
		case size == 127 && len(b) >= 8:
			size, b = binary.BigEndian.Uint64(b), b[8:]
		case size == 127:
			return messages
		}
		if len(b) < 4 || size>>63 != 0 { // RFC 6455, section 5.2: the most significant bit must be 0
			return messages
		}
		broken := uint64(len(b)-4) < size // the connection ends within the frame
		if broken {
			size = uint64(len(b) - 4)
		}
		payload := make([]byte, size)
		for i := range payload {
			payload[i] = b[4+i] ^ b[i%4]
		}
		b = b[4+size:]
		switch {
		case broken && control:
			return messages
		case kind == websocket.PingMessage, kind == websocket.PongMessage:
			continue
		case kind == 0 && !begun, (kind == websocket.TextMessage || kind == websocket.BinaryMessage) && begun, kind > websocket.BinaryMessage:
			return messages // a close, or a mistake
		case broken:
			message = append(message, payload...)
			return messages
		}
		message, begun = append(message, payload...), !final
		if final {
			messages = append(messages, string(message[:min(len(message), maxFuzzed)]))
			message = nil
		}
	}
	return messages
}
