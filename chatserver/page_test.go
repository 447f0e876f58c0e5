package chatserver_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parleyproto/parley/chatproto"
	"github.com/parleyproto/parley/chatserver"
)

// Mail for somebody who is away is read back from the store, in order, page
// by page; what the store has lost is left out and holds nothing up.
func TestMailIsReadBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newTestStore()
		srv := &chatserver.Server{Accounts: demo, Store: st}
		defer srv.Close()
		a := login(t, srv, "A")
		for n := 1; n <= 1000; n++ {
			a.say("SEND n=%d to=B :%d", n, n)
			a.want(fmt.Sprintf("201 n=%d how=stored", n))
		}
		st.set(func() { st.lost = map[uint64]bool{1: true, 500: true, 1000: true} })
		b := login(t, srv, "B")
		taken := 0
		for n := 1; n <= 1000; n++ {
			if n == 1 || n == 500 || n == 1000 {
				continue
			}
			b.want(fmt.Sprintf("MESG from=A id=41.%d ", n))
			if taken++; taken%64 == 0 {
				b.say("ACKD count=%d", taken)
			}
		}
		b.say("ACKD count=%d", taken)
		// What comes now finds an empty mailbox.
		a.say("SEND n=1001 to=B :live")
		b.want("MESG from=A id=41.1001 ")
		b.say("ACKD count=%d", taken+1)
		a.want("201 n=1001 how=delivered")
		st.set(func() {
			if st.reads < 4 || st.reads > 40 {
				t.Errorf("the store was read %d times", st.reads)
			}
		})
	})
}

// A mailbox that waits keeps the order of live mail that comes behind it.
func TestLiveBehindStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := &chatserver.Server{Accounts: demo}
		defer srv.Close()
		a := login(t, srv, "A")
		for n := 1; n <= 300; n++ {
			a.say("SEND n=%d to=B :stored", n)
			a.want(fmt.Sprintf("201 n=%d", n))
		}
		b := login(t, srv, "B")
		for n := 301; n <= 600; n++ {
			a.say("SEND n=%d to=B :live", n)
			if n%100 == 0 {
				time.Sleep(10 * time.Millisecond)
			}
		}
		for n := 1; n <= 600; n++ {
			b.want(fmt.Sprintf("MESG from=A id=41.%d ", n))
			b.say("ACKD count=%d", n)
		}
	})
}

// While the store fails nothing more is accepted, deliveries go on, and
// acceptance resumes by itself.
func TestFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newTestStore()
		srv := &chatserver.Server{Accounts: demo, Store: st}
		defer srv.Close()
		a, c := login(t, srv, "A"), login(t, srv, "C")
		a.say("SEND n=1 to=B :before")
		a.want("201 n=1")
		st.set(func() { st.fail = 1 << 30 })
		a.say("SEND n=2 to=B :the one that finds out")
		time.Sleep(time.Second)
		c.say("SEND n=1 to=B :refused\r\nCAST n=2 :refused")
		c.want("452 n=1 :The server cannot store messages now. Please try again later")
		c.want("451 n=2 :The server cannot store messages now. Please try again later")
		b := connect(t, srv)
		b.say("HELO v=1 acks=1\r\nAUTH user=B pass=passB") // no origin: nothing to store
		b.want("220")
		b.want("230")
		b.want("MESG from=A id=41.1 ")
		b.want("MESG from=A id=41.2 ")
		b.say("ACKD count=2")
		a.want("201 n=2 how=delivered")
		time.Sleep(time.Minute / 4)
		st.set(func() { st.fail = 0 })
		time.Sleep(2 * time.Second)
		a.say("SEND n=3 to=columbia :after")
		a.want("201 n=3 how=stored")
	})
}

// A client that sends more than a window ahead of its answers is slowed down,
// and loses nothing.
func TestAheadOfTheWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newTestStore()
		srv := &chatserver.Server{Accounts: demo, Store: st}
		defer srv.Close()
		a, b := login(t, srv, "A"), login(t, srv, "B")
		hold := make(chan struct{})
		st.set(func() { st.hold = hold })
		go func() {
			for n := 1; n <= 600; n++ {
				a.say("SEND n=%d to=B :%d", n, n)
			}
		}()
		for n := 1; n <= 256; n++ {
			b.want(fmt.Sprintf("MESG from=A id=41.%d ", n))
		}
		b.nc.SetReadDeadline(time.Now().Add(time.Second))
		b.want("") // the 257th waits for the first answer
		b.nc.SetReadDeadline(time.Time{})
		b.r = chatproto.NewReader(b.nc)
		st.set(func() { st.hold = nil })
		close(hold)
		for n := 1; n <= 600; n++ {
			if n > 256 {
				b.want(fmt.Sprintf("MESG from=A id=41.%d ", n))
			}
			b.say("ACKD count=%d", n)
		}
		answered := 0
		for answered < 600 {
			line := a.next()
			var lo, hi int
			if k, _ := fmt.Sscanf(line, "201 n=%d-%d", &lo, &hi); k == 1 {
				hi = lo
			}
			if lo != answered+1 {
				t.Fatalf("got %q after %d answers", line, answered)
			}
			answered = hi
		}
	})
}
