package chatserver_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/parleyproto/parley/chatproto"
	"github.com/parleyproto/parley/chatserver"
	"github.com/parleyproto/parley/chatserver/internal/memnet"
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

// A widest is a connection that knows its longest write.
type widest struct {
	net.Conn
	mu   sync.Mutex
	most int
}

func (w *widest) Write(p []byte) (int, error) {
	w.mu.Lock()
	w.most = max(w.most, len(p))
	w.mu.Unlock()
	return w.Conn.Write(p)
}

// However many came while a client did not read, what it is told when it reads
// again is put out as it is read, within Limits.OutboundBytes and one frame,
// and each of them is told once.
func TestPresenceCoalescedInPortions(t *testing.T) {
	const users, limit = 700, 8192 // more than the buffers of the connection take
	accounts := chatserver.Credentials{"A": "a"}
	for i := range users {
		accounts[fmt.Sprintf("%060d", i)] = "x"
	}
	synctest.Test(t, func(t *testing.T) {
		srv := &chatserver.Server{Accounts: accounts, Limits: chatserver.Limits{OutboundBytes: limit}}
		defer srv.Close()
		near, far := memnet.Pipe("127.0.0.1:50000", "127.0.0.1:8000")
		defer near.Close()
		w := &widest{Conn: far}
		go srv.ServeConn(w)
		a := &peer{t, near, chatproto.NewReader(near)}
		a.say("HELO v=1 acks=1 beat=30000")
		a.want("220")
		a.say("AUTH user=A pass=a")
		a.want("230")
		come := map[string]int{}
		for user, password := range accounts {
			if user != "A" {
				p := connect(t, srv)
				p.say("HELO v=1 pres=0\r\nAUTH user=%s pass=%s", user, password)
				p.want("220")
				p.want("230")
				come["PRES user="+user+" on=1 :"+user+" logged in"]++
			}
		}
		synctest.Wait()
		near.SetReadDeadline(time.Now().Add(time.Second))
		told := map[string]int{}
		for line := a.next(); line != ""; line = a.next() {
			told[line]++
		}
		if diff := cmp.Diff(come, told); diff != "" {
			t.Error(diff)
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.most < limit || w.most >= limit+chatproto.V1.Limits.Frame/16 {
			t.Errorf("the longest write has %d octets, the limit is %d", w.most, limit)
		}
	})
}

// By default a thousand may be online and be told of each other.
func TestAnnounceLimitByDefault(t *testing.T) {
	accounts := chatserver.Credentials{}
	for i := range 1001 {
		accounts[fmt.Sprint("user", i)] = "x"
	}
	synctest.Test(t, func(t *testing.T) {
		srv := &chatserver.Server{Accounts: accounts}
		defer srv.Close()
		for i := range 1001 {
			p := connect(t, srv)
			quiet := " pres=0"
			if i >= 998 {
				quiet = ""
			}
			p.say("HELO v=1%s\r\nAUTH user=user%d pass=x", quiet, i)
			p.want("220")
			if welcome := p.want("230"); strings.Contains(welcome, " pres=0") != (i < 998 || i == 1000) {
				t.Errorf("number %d is welcomed with %q", i+1, welcome)
			}
		}
	})
}
