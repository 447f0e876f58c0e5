package chatclient_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/parleyproto/parley/chatclient"
	"github.com/parleyproto/parley/chatproto/handshake"
	"github.com/parleyproto/parley/chatserver"
)

// Over TCP: somebody who leads the client's port to the server's is refused
// there, before either end was told anything.
func TestRealDialBackPiped(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cert := selfMade(t, newKey(t), time.Now().AddDate(-1, 0, 0), time.Now().AddDate(1, 0, 0))
	s := &chatserver.Server{Accounts: chatserver.Credentials{"A": "pa", "B": "pb"}, DialBack: true, TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}}}
	go s.Serve(l)
	defer s.Close()
	login := func(user string, away chan bool, texts chan string, lines chan string) *chatclient.Client {
		cfg := chatclient.Config{Addr: l.Addr().String(), User: user, Password: "p" + strings.ToLower(user), PeerListen: "off", DialBack: &chatclient.DialBack{Quiet: 50 * time.Millisecond},
			Trace: func(sent bool, line []byte) {
				if sent {
					lines <- string(line)
				}
			},
			Callbacks: chatclient.Callbacks{
				OnMessage: func(_ context.Context, m chatclient.Message) error { texts <- m.Text; return nil },
				OnState:   func(_ context.Context, st chatclient.State) { away <- st.Kind == chatclient.Away },
			}}
		c, err := chatclient.Dial(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	away, texts, lines := make(chan bool, 100), make(chan string, 100), make(chan string, 1000)
	b := login("B", away, texts, lines)
	defer end(b)
	a := login("A", make(chan bool, 100), make(chan string, 100), make(chan string, 1000))
	defer end(a)
	for !<-away {
	}
	port := ""
	for line := range lines {
		if _, after, ok := strings.Cut(line, " dial="); ok {
			port = after
			break
		}
	}
	for i := range 3 {
		fromClient, fromServer := pipeTogether(t, "127.0.0.1:"+port, l.Addr().String())
		if len(fromServer) != 7 || fromServer[0] != 0x15 || fromServer[6] != 120 { // the alert no_application_protocol
			t.Errorf("the server answers %x", fromServer)
		}
		if len(fromClient) < 6 || fromClient[5] != 1 || strings.Contains(string(fromClient[5+int(fromClient[3])<<8+int(fromClient[4]):]), "parley") {
			t.Errorf("the client says %x", fromClient)
		}
		if _, err := a.Send(t.Context(), "B", fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
		if text := <-texts; text != fmt.Sprint(i) {
			t.Errorf("B sees %q", text)
		}
		for !<-away {
		}
	}
	if s.Stats().Online != 2 {
		t.Error("somebody is logged out")
	}
	for len(lines) > 0 {
		if line := <-lines; strings.HasPrefix(line, "AUTH ") && !strings.Contains(line, "mech="+handshake.MechExternal+" ") {
			t.Errorf("the client came by itself: %s", line)
		}
	}
}

// pipeTogether leads two listeners to each other, until both have hung up, and
// returns what each said.
func pipeTogether(t *testing.T, one, other string) (fromOne, fromOther []byte) {
	t.Helper()
	var conns [2]net.Conn
	for i, addr := range []string{one, other} {
		nc, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		nc.SetDeadline(time.Now().Add(20 * time.Second))
		conns[i] = nc
	}
	var both sync.WaitGroup
	pass := func(from, to net.Conn, said *[]byte) {
		*said, _ = io.ReadAll(io.TeeReader(from, to))
		to.(*net.TCPConn).CloseWrite()
	}
	both.Go(func() { pass(conns[0], conns[1], &fromOne) })
	both.Go(func() { pass(conns[1], conns[0], &fromOther) })
	both.Wait()
	return fromOne, fromOther
}
