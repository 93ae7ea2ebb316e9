package simulation

import (
	"bytes"
	"hash/maphash"
	"strconv"
)

// frame is what a frame says. The form of frames is checked elsewhere: this reads the one that the server writes.
type frame struct {
	seq      int64
	kind     string
	mailbox  string
	position int64
	side     string
	body     string
	mood     string
	reason   string
}

func parseFrame(raw []byte) frame {
	return frame{
		seq: number(raw, `"seq":`), kind: text(raw, `"type":"`), mailbox: text(raw, `"mailbox":"`), position: number(raw, `"position":`),
		side: text(raw, `"side":"`), body: text(raw, `"body":"`), mood: text(raw, `"mood":"`), reason: text(raw, `"reason":"`),
	}
}

func after(raw []byte, name string) []byte {
	if i := bytes.Index(raw, []byte(name)); i >= 0 {
		return raw[i+len(name):]
	}
	return nil
}

func text(raw []byte, name string) string {
	before, _, found := bytes.Cut(after(raw, name), []byte{'"'})
	if !found {
		return ""
	}
	return string(before)
}

func number(raw []byte, name string) int64 {
	rest := after(raw, name)
	end := 0
	for end < len(rest) && '0' <= rest[end] && rest[end] <= '9' {
		end++
	}
	n, err := strconv.ParseInt(string(rest[:end]), 10, 64)
	if err != nil {
		return -1
	}
	return n
}

// hashSeed is that of one process: hashes of frames are only compared with each other.
var hashSeed = maphash.MakeSeed()
