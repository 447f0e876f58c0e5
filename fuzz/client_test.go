package fuzz

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parleyproto/parley/chatclient"
	"github.com/parleyproto/parley/chatproto"
)

// greetings are what a server has said right before it goes mad.
var greetings = []string{
	"",
	"220 v=1 mech=PLAIN boot=1 t=1\n",
	"220 v=1 mech=PLAIN boot=1 t=1\n230 user=A new=1 known=0 high=0 mail=0\n200 n=1\n",
	"220 v=1 mech=SCRAM-SHA-256 boot=1 t=1\n",
}

// FuzzClient throws arbitrary bytes at a real client, before, during and
// after its login. It says only frames, hands only well-formed messages to
// the application, keeps its buffers within their bounds, and ends when it is
// told to.
func FuzzClient(f *testing.F) {
	for _, s := range []string{
		"", "\n", "220 v=1\n", "220 v=2\n", "505\n", "421 :later\n", "GBYE why=replaced :x\n", "GBYE retry=1\n",
		"MESG from=B id=b1.1 t=1 :B: hi\nMESG from=B id=b1.1 t=1 :B: hi\n", "BCST from=B id=b1.2 t=1 :B:\n", "MESG from=B id=b1.1 t=1 :C: forged\n", "MESG\n",
		"PRES user=B on=1 :B logged in\nPRES user=B on=0\nPRES\n", "RQST user=B\nGETA user=B addr=10.0.0.1 port=2000 ttl=1000 :2000 10.0.0.1 B\nRVKD user=B owner=B why=gone\n",
		"201 n=2-9\n", "201\n", "299 n=2\n", "111 n=2 user=B\n", "LIVE\nLIVE\n", "XXXX a=b :later\n", "331 :Password:\n334 data=\n535 left=1\n450 retry=1\n",
		"334 data=r=x,s=c2FsdA==,i=4096\n230 user=A new=1 known=0 high=0 mail=0 data=v=AAAA token=x\n", "230 user=A new=1 known=0 high=0 mail=0 data=e=other-error\n", "501 :The handshake was changed on the way\n",
		"230 user=B new=0 known=1 high=9 mail=9 beat=1 pres=0\n", "\x00\xff\n",
	} {
		for g := range greetings {
			f.Add(uint8(g), []byte(s))
		}
	}
	f.Fuzz(func(t *testing.T, greeting uint8, input []byte) {
		if len(input) > 128<<10 {
			return
		}
		synctest.Test(t, func(t *testing.T) { throwAtClient(t, greetings[int(greeting)%len(greetings)]+string(input)) })
	})
}

func throwAtClient(t *testing.T, input string) {
	dials := 0
	cfg := chatclient.Config{
		User: "A", Password: "a", Cleartext: chatclient.CleartextLocal,
		Dial: func(context.Context) (net.Conn, error) {
			if dials++; dials > 3 {
				return nil, errors.New("nobody there")
			}
			near, far := net.Pipe()
			go madServer(t, far, input)
			return meteredConn{near, t, chatproto.V1.Limits.Frame, maxWrite}, nil
		},
		PeerListen: "off",
		Callbacks: chatclient.Callbacks{
			OnMessage: func(_ context.Context, m chatclient.Message) error {
				if m.ID.Origin == 0 || m.ID.N == 0 || chatproto.CheckName(m.From) != nil {
					t.Errorf("the application is given %+v", m)
				}
				if err := chatproto.CheckText(m.Text); err != nil && !errors.Is(err, chatproto.ErrTooLong) {
					t.Errorf("the application is given the text %q: %v", m.Text, err)
				}
				return nil
			},
			OnPresence: func(_ context.Context, p chatclient.Presence) {
				if chatproto.CheckName(p.User) != nil {
					t.Errorf("the application is given %+v", p)
				}
			},
		},
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	c, err := chatclient.Dial(ctx, cfg)
	if err == nil {
		sent, cancel := context.WithTimeout(ctx, time.Minute)
		c.Send(sent, "B", "hello")
		cancel()
		time.Sleep(time.Minute)
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	time.Sleep(2 * time.Minute) // the mad servers' deadlines
	synctest.Wait()
}

// madServer says input, whatever it is asked, and checks that it is asked in
// frames.
func madServer(t *testing.T, nc net.Conn, input string) {
	nc.SetDeadline(time.Now().Add(90 * time.Second))
	said := collect(nc)
	io.WriteString(nc, input)
	time.Sleep(30 * time.Second)
	nc.Close()
	time.Sleep(time.Second)
	said.take(t)
}
