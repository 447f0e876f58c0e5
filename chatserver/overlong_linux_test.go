package chatserver

import (
	"strings"
	"testing"
	"time"

	"github.com/parleyproto/parley/chatproto"
)

// TestOverlongLineInPieces: a line that is too long and comes slowly is
// answered when its end is there. That its connection would be idle by then
// does not make its client one that was silent for too long.
func TestOverlongLineInPieces(t *testing.T) {
	srv := new(Server)
	dial, _ := restless(t, srv)
	a := dial("A")
	for range 3 {
		a.say("%s", strings.Repeat("x", chatproto.V1.Limits.Frame))
		time.Sleep(20 * time.Millisecond) // of which restAfter is a twentieth
		a.say("x\r\n")
		a.want("500 ")
	}
	a.say("ONLN n=1\r\n")
	a.want("211 n=1")
}
