package chatserver_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parleyproto/parley/chatserver"
)

// What waits to be written to a client that does not read is bounded: its
// messages wait in the mailbox, its requests are not read, and of other events
// four times as much cuts it off.
func TestOutboundBytes(t *testing.T) {
	const limit = 2000
	many := chatserver.Credentials{"A": "x", "B": "x"}
	for i := range 100 {
		many[fmt.Sprint("u", i)] = "x"
	}
	for _, test := range []struct {
		name string
		fill func(t *testing.T, srv *chatserver.Server, b net.Conn)
		most int // octets of one write
		cut  bool
	}{
		{"messages", func(t *testing.T, srv *chatserver.Server, b net.Conn) {
			a := enter(t, srv, "A")
			for n := 1; n <= 50; n++ {
				a.say("SEND n=%d to=B :%s", n, strings.Repeat("x", 400))
				a.want("201")
			}
		}, limit + 500, false},
		{"answers", func(t *testing.T, srv *chatserver.Server, b net.Conn) {
			b.SetWriteDeadline(time.Now().Add(time.Second))
			for range 500 {
				fmt.Fprintf(b, "BLOK user=%s\r\n", strings.Repeat("x", 60))
			}
		}, limit + 100, false},
		{"events", func(t *testing.T, srv *chatserver.Server, b net.Conn) {
			io.WriteString(b, "LSTN n=1 port=2000\r\n")
			synctest.Wait() // the answer is what is being written all the time
			for i := range 100 {
				a := enter(t, srv, fmt.Sprint("u", i))
				a.say("ADDR n=1 user=B")
				a.want("202")
			}
		}, 4*limit + 200, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ends := ""
				srv := &chatserver.Server{Accounts: many, Limits: chatserver.Limits{OutboundBytes: limit}, Hooks: chatserver.Hooks{
					OnDisconnect: func(_ context.Context, c chatserver.ConnInfo, why string) {
						if c.User == "B" {
							ends = why
						}
					},
				}}
				near, far := net.Pipe()
				meter := &meteredWrites{Conn: far}
				go srv.ServeConn(meter)
				b := lines(t, near)
				go io.WriteString(near, "HELO v=1 acks=1 pres=0\r\nAUTH user=B pass=x origin=b\r\n")
				b.want("220")
				b.want("230")
				test.fill(t, srv, near)
				synctest.Wait()
				if cut := ends == "reads too slowly"; cut != test.cut {
					t.Errorf("cut off: %v (%q), want %v", cut, ends, test.cut)
				}
				near.SetReadDeadline(time.Now().Add(time.Second))
				io.Copy(io.Discard, near)
				srv.Close()
				if most := meter.most.Load(); most > int64(test.most) || !test.cut && most < limit {
					t.Errorf("%d octets are written at once, want at most %d", most, test.most)
				}
				near.Close()
			})
		})
	}
}

// enter logs user in whose password is x.
func enter(t *testing.T, srv *chatserver.Server, user string) *linePeer {
	t.Helper()
	p := open(t, srv, "127.0.0.1:1")
	p.say("HELO v=1 acks=1 pres=0\r\nAUTH user=%s pass=x origin=1", user)
	p.want("220")
	p.want("230")
	return p
}

// A meteredWrites notes the largest write.
type meteredWrites struct {
	net.Conn
	most atomic.Int64
}

func (m *meteredWrites) Write(p []byte) (int, error) {
	m.most.Store(max(m.most.Load(), int64(len(p))))
	return m.Conn.Write(p)
}

// Only so many who are sent away are read from for a while; the others are
// closed at once, and later ones have their second again.
func TestDrainingLimit(t *testing.T) {
	const limit = 256
	synctest.Test(t, func(t *testing.T) {
		srv := &chatserver.Server{Accounts: demo} // sends everybody from afar away
		defer srv.Close()
		for range 2 {
			for i := range limit + 2 {
				p := open(t, srv, ip(i))
				io.WriteString(p.nc, "H")
				p.want("421")
				p.want("(EOF)")
				synctest.Wait()
				if _, err := io.WriteString(p.nc, "x"); (err == nil) != (i < limit) {
					t.Errorf("connection %d: %v", i, err)
				}
			}
			time.Sleep(2 * time.Second)
			if n := srv.Stats().Connections; n != 0 {
				t.Errorf("%d connections are left", n)
			}
		}
	})
}
