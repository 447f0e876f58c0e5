package chatserver_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parleyproto/parley/chatserver"
)

// What was announced last is how things stand, also when the login that is
// announced was held up by a hook until the user has left again (SPEC section
// 7.2).
func TestPresenceInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := make(chan struct{}, 1)
		slow <- struct{}{}
		srv := &chatserver.Server{Accounts: demo, Hooks: chatserver.Hooks{OnLogout: func(context.Context, string, string) {
			select {
			case <-slow:
				time.Sleep(10 * time.Second)
			default:
			}
		}}}
		defer srv.Close()
		viewer := connect(t, srv)
		viewer.say("HELO v=1 beat=30000")
		viewer.want("220")
		viewer.say("AUTH user=google pass=%s", demo["google"])
		viewer.want("230")
		enter := func(origin string) *peer {
			p := connect(t, srv)
			p.say("HELO v=1 beat=30000 pres=0")
			p.want("220")
			p.say("AUTH user=columbia pass=%s origin=%s", demo["columbia"], origin)
			p.want("230")
			return p
		}
		enter("1")
		enter("2") // the end of 1 holds it up
		last := enter("3")
		last.say("QUIT")
		last.want("221")
		time.Sleep(20 * time.Second)
		viewer.say("QUIT")
		said := ""
		for line := viewer.next(); line != ""; line = viewer.next() {
			if strings.HasPrefix(line, "PRES user=columbia ") {
				said = line
			}
		}
		if !strings.Contains(said, " on=0") {
			t.Errorf("the last word about a user who has left is %q", said)
		}
	})
}
