package chatserver_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parleyproto/parley/chatserver"
)

// Without acks=1 writing is delivering, at most once, also when somebody logs
// in elsewhere while the first connection is being written to.
func TestPersonLogsInElsewhere(t *testing.T) {
	const mails = 12 // more than fits into the socket
	for name, origin := range map[string]string{"replaced": "", "fenced": " origin=c1"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := &chatserver.Server{Accounts: demo}
				defer srv.Close()
				a := revLogin(t, srv, "A", "a1")
				c := revMeetDeaf(t, srv, revLocal)
				c.send("HELO v=1", "AUTH user=C pass=passC"+origin)
				synctest.Wait()
				for n := range mails {
					a.send(fmt.Sprintf("SEND n=%d to=C :%02d %s", n+1, n+1, strings.Repeat("x", 7000)))
				}
				a.got()
				other := revMeet(t, srv, revLocal)
				other.send("HELO v=1", "AUTH user=C pass=passC"+origin)
				got := other.got()
				c.listen()
				time.Sleep(time.Second)
				times := make(map[string]int)
				for _, l := range append(c.got(), append(got, other.got()...)...) {
					if strings.HasPrefix(l, "MESG") && strings.HasSuffix(l, "x") {
						_, text, _ := strings.Cut(l, " :A: ")
						times[text[:2]]++
					}
				}
				for n := range mails {
					if k := times[fmt.Sprintf("%02d", n+1)]; k > 1 || k == 0 && origin == "" {
						t.Errorf("message %d is shown %d times", n+1, k)
					}
				}
			})
		})
	}
}
