package apifuzz

import (
	"crypto/sha1" // #nosec G505 -- hashcash is SHA-1
	"fmt"
	"math/bits"
	"strings"
)

// stamp draws a hashcash stamp: often a good one, or one that is wrong in one field.
func (w *world) stamp(needed int, resource string) string {
	fields := []string{"1", fmt.Sprint(needed), "271126", resource, "", "r"}
	if w.draw(8) == 0 {
		fields[w.draw(len(fields))] = []string{"", "0", "-1", "999", ":", "é", "1:2:3"}[w.draw(7)]
	}
	prefix := strings.Join(fields, ":") + ":"
	for n := range 1 << 12 {
		stamp := prefix + fmt.Sprint(n)
		sum := sha1.Sum([]byte(stamp)) // #nosec G401 -- hashcash is SHA-1
		if bits.LeadingZeros16(uint16(sum[0])<<8|uint16(sum[1])) >= needed {
			return stamp
		}
	}
	return prefix + "none"
}
