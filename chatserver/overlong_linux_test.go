package chatserver

import (
	"strings"
	"testing"

	"github.com/parleyproto/parley/chatproto"
)

// TestOverlongLineInPieces: a line that is too long and comes slowly is
// answered when its end is there. That its connection would be idle by then
// does not make its client one that was silent for too long.
func TestOverlongLineInPieces(t *testing.T) {
	srv := new(Server)
	dial, rested := restless(t, srv)
	a, b := dial("A"), dial("B")
	<-rested
	<-rested
	for range 3 {
		a.say("%s", strings.Repeat("x", chatproto.V1.Limits.Frame))
		for range 5 { // what comes later is at rest meanwhile, over and over
			b.say("LIVE\r\n")
			<-rested
		}
		a.say("x\r\n")
		a.want("500 ")
	}
	a.say("ONLN n=1\r\n")
	a.want("111 n=1 user=B")
	a.want("211 n=1")
}
