package fuzz

import (
	"bytes"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parleyproto/parley/chatproto"
	"github.com/parleyproto/parley/chatserver"
)

var fuzzAccounts = chatserver.Credentials{"A": "a", "B": "b"}

// openings are how far a connection to a server has come before it is given
// arbitrary bytes.
var openings = []string{
	"",
	"HELO v=1\n",
	"HELO v=1\nAUTH user=A pass=a\n",
	"HELO v=1 acks=1 beat=30000\nAUTH user=A pass=a origin=a1\nLSTN n=1 port=2000\nSEND n=2 to=B\n",
	"HELO v=1\nAUTH mech=SCRAM-SHA-256 user=A data={first}\n",
}

// FuzzServer throws arbitrary bytes at a connection of a real server. Each
// line is answered by a code that the tables allow, or by nothing if its verb
// is never answered, or the connection ends; no buffer exceeds its bound; and
// when the input ends the connection ends. {first} and {final} in a line stand
// for A's messages of SCRAM; without the right one nobody is A.
func FuzzServer(f *testing.F) {
	for i, s := range []string{
		"", "\n", "HELO v=1\nAUTH user=A\nAUTH pass=a\nQUIT\n", "SEND to=B :hi\nONLN\nCAST :x\nQUIT\n",
		"SEND n=1 to=B :a\nSEND n=1 to=B :a\nSEND n=9 to=A\nACKD count=0\nLIVE\n", "ADDR n=3 user=B\nCNST n=4 user=B\nRVKE n=5 user=B\nBLOK n=6 user=B\nUBLK n=7 user=B\n",
		"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "\x16\x03\x01\x02\x00\x01\x00", "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n11\n", "ACKD count=1\n", "ONLN after=A n=18446744073709551615\nSEND n=0\n",
		string(bytes.Repeat([]byte("x"), 9000)) + "\nLIVE\n", "HELO v=1 a=" + string(bytes.Repeat([]byte("x"), 2100)) + "\n", "\x16\nHELO v=1\n", "HELO v=1,2 caps=x,y beat=1 acks=0 pres=1\nAUTH mech=PLAIN user=A pass=a origin=ffffffffffffffff token=x\n",
	} {
		f.Add(uint8(i), []byte(s))
		f.Add(uint8(2), []byte(s))
		f.Add(uint8(3), []byte(s))
	}
	for _, s := range []string{
		"AUTH data={final}\nLSTN port=2000\nQUIT\n", "AUTH data={final}\nAUTH data={final}\n", "AUTH data={final} mech=SCRAM-SHA-256\n",
		"AUTH data={final},x=1\n", "AUTH data=c=eSws,r=x,p=x\n", "AUTH mech=SCRAM-SHA-256 user=A data={first}\nAUTH data={final}\n",
		"AUTH mech=SCRAM-SHA-256 user=B data=n,,n=B,r=x\nAUTH data={final}\n", "AUTH user=A\nAUTH data={final}\nAUTH pass=a\n",
		"AUTH mech=SCRAM-SHA-256-PLUS user=A data=p={first}\n", "AUTH mech=SCRAM-SHA-256 user=nobody data={first}\n", "AUTH user=A pass=x token=0 origin=1\n",
	} {
		f.Add(uint8(4), []byte(s))
	}
	f.Add(uint8(0), []byte("HELO v=1 x=\\s :\nAUTH mech=SCRAM-SHA-256 user=A origin=a1 data={first}\nAUTH data={final}\n"))
	f.Fuzz(func(t *testing.T, opening uint8, input []byte) {
		if len(input) > 128<<10 {
			return
		}
		synctest.Test(t, func(t *testing.T) { throwAtServer(t, openings[int(opening)%len(openings)]+string(input)) })
	})
}

func throwAtServer(t *testing.T, input string) *judge {
	srv := &chatserver.Server{Accounts: fuzzLogins{fuzzAccounts}}
	near, far := net.Pipe()
	served := make(chan error, 1)
	go func() {
		served <- srv.ServeConn(meteredConn{far, t, chatproto.V1.Limits.Frame, maxWrite})
	}()
	c := &judge{t: t, machine: chatproto.V1.Machine(), said: collect(near), tls: strings.HasPrefix(input, startsTLS)}
	c.throw(near, []byte(input))
	near.Close()
	select {
	case <-served:
	case <-time.After(2 * time.Minute):
		t.Error("the connection does not end with its input")
	}
	srv.Close()
	synctest.Wait()
	return c
}

// throw sends input, a line at a time, and checks what the server says to it.
func (c *judge) throw(near net.Conn, rest []byte) {
	for len(rest) > 0 && !c.ended {
		line := rest
		if i := bytes.IndexByte(rest, '\n'); i >= 0 {
			line = rest[:i+1]
		}
		rest = rest[len(line):]
		line = c.scram.expand(line)
		near.SetWriteDeadline(time.Now().Add(10 * time.Second))
		if _, err := near.Write(line); err != nil {
			break // the server has ended the connection
		}
		c.asked(line)
		time.Sleep(20 * time.Millisecond) // longer than the server gathers a batch
		synctest.Wait()
		c.check()
	}
}

// A judge follows a conversation through the tables, as a client does.
type judge struct {
	t       *testing.T
	machine *chatproto.Machine
	said    *lines
	ended   bool
	tls     bool                   // a server without TLS is to say nothing
	heard   func(*chatproto.Frame) // is told of all that the server says; may be nil
	scram   scramSteps
}

// asked takes one line that was sent.
func (c *judge) asked(line []byte) {
	if c.tls || c.machine.Phase() >= chatproto.Closing || line[len(line)-1] != '\n' {
		return
	}
	r := chatproto.NewReader(bytes.NewReader(line))
	r.Short(c.machine.Phase() < chatproto.Ready)
	var f chatproto.Frame
	if r.Next(&f) != nil {
		c.machine.BadLine()
		return
	}
	n, _ := f.Uint("n")
	c.machine.Request(f.Code, n)
}

// check takes what the server said to it.
func (c *judge) check() {
	frames, ended := c.said.take(c.t)
	c.ended = ended
	if c.tls && len(frames) > 0 {
		c.t.Errorf("TLS is answered by %s", frames[0].Code)
	}
	for _, f := range frames {
		lo, hi, ok := f.Range("n")
		err := error(nil)
		if f.Code.IsReply() && f.Code != chatproto.ReplyUnavailable {
			err = c.machine.Reply(f.Code, lo, hi)
		} else {
			err = c.machine.Event(f.Code)
		}
		if err != nil || !ok {
			c.t.Errorf("the server said %s n=%d-%d: %v", f.Code, lo, hi, err)
		}
		c.scram.said(c.t, f)
		if c.heard != nil {
			c.heard(f)
		}
	}
	if c.machine.Unanswered() > 0 && !ended && !c.tls && c.machine.Phase() < chatproto.Closing {
		verb, n := c.machine.Head()
		c.t.Errorf("%s n=%d is not answered", verb, n)
	}
}
