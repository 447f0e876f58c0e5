package chatserver_test

import (
	"fmt"
	"io"
	"testing"

	"github.com/parleyproto/parley/chatproto"
	"github.com/parleyproto/parley/chatserver"
	"github.com/parleyproto/parley/chatserver/internal/memnet"
)

// BenchmarkComeAndGo is one user who logs out and in again while others are
// online who want to know who is there, over connections in memory. Up to 1,000
// (Server.AnnounceLimit) each of them is told. Beyond, it is to cost what
// changed and not what exists.
func BenchmarkComeAndGo(b *testing.B) {
	for _, online := range []int{100, 900, 10_000, 100_000} {
		b.Run(fmt.Sprint(online), func(b *testing.B) {
			accounts := make(chatserver.Credentials)
			for i := range online + 1 {
				accounts[fmt.Sprintf("u%d", i)] = "pw"
			}
			srv := &chatserver.Server{Accounts: accounts}
			defer srv.Close()
			for i := range online {
				m := join(b, srv, i, 1)
				if online <= 1000 {
					go io.Copy(io.Discard, m.nc)
				}
			}
			b.ReportAllocs()
			for b.Loop() {
				m := join(b, srv, online, 0)
				m.say("QUIT\r\n")
				m.until(chatproto.ReplyBye)
				m.nc.Close()
			}
		})
	}
}

// A member is the client's end of a connection in memory.
type member struct {
	b  *testing.B
	nc *memnet.Conn
	r  *chatproto.Reader
}

// join logs a user in.
func join(b *testing.B, srv *chatserver.Server, user, presence int) *member {
	near, far := memnet.Pipe("client", "server")
	go srv.ServeConn(far)
	m := &member{b, near, chatproto.NewReader(near)}
	m.say("HELO v=1 acks=1 pres=%d beat=600000\r\n", presence)
	m.until(chatproto.ReplyGreeting)
	m.say("AUTH user=u%d pass=pw origin=%x\r\n", user, user+1)
	m.until(chatproto.ReplyWelcome)
	return m
}

func (m *member) say(format string, args ...any) {
	if _, err := fmt.Fprintf(m.nc, format, args...); err != nil {
		m.b.Fatal(err)
	}
}

func (m *member) until(code chatproto.Code) {
	var f chatproto.Frame
	for f.Code != code {
		if err := m.r.Next(&f); err != nil {
			m.b.Fatal(err)
		}
	}
}
