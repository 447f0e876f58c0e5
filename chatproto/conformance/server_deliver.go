package conformance

import (
	"fmt"
	"strings"

	"github.com/parleyproto/parley/chatproto"
)

// ackCases are about ACKD.
var ackCases = []Case{
	{Name: "ackd/too-many", Section: "4.4", Rule: "ACKD above what was delivered ends the connection with GBYE why=protocol", script: `
		A login
		B login
		A> SEND n=1 to={B} :hi
		B< MESG
		A< 201 n=1
		B> ACKD count=2
		B< GBYE why=protocol
		B end`},
	{Name: "ackd/none", Section: "4.4", Rule: "ACKD count=0 before the first delivery acknowledges nothing", script: `
		A login
		A> ACKD count=0
		A sync`},
	{Name: "ackd/back", Section: "4.4", Rule: "ACKD below an earlier one ends the connection with GBYE why=protocol", script: `
		A login
		B login
		A> SEND n=1 to={B} :one
		A> SEND n=2 to={B} :two
		B< MESG
		B< MESG
		A< 201 n=1
		A< 201 n=2
		B> ACKD count=2
		B> ACKD count=1
		B< GBYE why=protocol
		B end`},
	{Name: "ackd/again", Section: "4.4", Rule: "ACKD with the count of the last one changes nothing", script: `
		A login
		B login
		A> SEND n=1 to={B} :one
		B< MESG
		B> ACKD count=1
		B> ACKD count=1
		A< 201 n=1
		B sync`},
	{Name: "ackd/malformed", Section: "4.4", Rule: "ACKD without a count, or with one that is no number, ends the connection", server: func(s *serverCase) {
		for _, line := range []string{"ACKD", "ACKD count=", "ACKD count=x", "ACKD count=-1", "ACKD count=00", "ACKD n=1"} {
			a := s.login("A")
			a.send(line)
			a.want("GBYE why=protocol")
			a.ended(s.opts.Patience)
		}
	}},
	{Name: "ackd/not-agreed", Section: "4.4", Rule: "ACKD without acks=1 in HELO ends the connection", script: `
		A login acks=-
		A> ACKD count=0
		A< GBYE why=protocol
		A end`},
	{Name: "ackd/unanswered", Section: "4.1", Rule: "ACKD and LIVE are not answered", script: `
		A login
		B login
		A> SEND n=1 to={B} :hi
		B< MESG
		B> ACKD count=1
		B> LIVE
		B> LIVE
		A< 201 n=1
		B sync
		B quiet`},
}

// deliverCases are about what is delivered again, and what is not.
var deliverCases = []Case{
	{Name: "deliver/again", Section: "6.5", Rule: "what was not acknowledged is delivered again, first, in its order and under its id", script: `
		A login origin=a1{hex}
		B login origin=b2{hex}
		A> SEND n=1 to={B} :one
		A> SEND n=2 to={B} :two
		A> CAST n=3 :three
		B< MESG id=a1{hex}.1
		B< MESG id=a1{hex}.2
		B< BCST id=a1{hex}.3
		A< 201 n=1
		A< 201 n=2
		A< 201 n=3
		B cut
		B2 login origin=b2{hex} / new=0 mail=3
		A> SEND n=4 to={B} :four
		B2< MESG id=a1{hex}.1 :{A}: one
		B2< MESG id=a1{hex}.2 :{A}: two
		B2< BCST id=a1{hex}.3 :{A}: three
		B2< MESG id=a1{hex}.4 :{A}: four
		A< 201 n=4`},
	{Name: "deliver/acknowledged", Section: "6.5", Rule: "what was acknowledged is not delivered again", script: `
		A login
		B login origin=b2{hex}
		A> SEND n=1 to={B} :one
		A> SEND n=2 to={B} :two
		A> SEND n=3 to={B} :three
		B< MESG :{A}: one
		B< MESG :{A}: two
		B< MESG :{A}: three
		B> ACKD count=2
		B sync
		A< 201 n=1
		A< 201 n=2
		A< 201 n=3
		B cut
		B2 login origin=b2{hex} / mail=1
		B2< MESG :{A}: three
		B2> ACKD count=1
		B2 sync
		B2 cut
		B3 login origin=b2{hex} / mail=0`},
	{Name: "deliver/counts-anew", Section: "6.5", Rule: "deliveries are counted from 1 on each connection", script: `
		A login
		B login origin=b2{hex}
		A> SEND n=1 to={B} :one
		B< MESG
		B> ACKD count=1
		B sync
		A< 201 n=1
		B cut
		B2 login origin=b2{hex} / mail=0
		A> SEND n=2 to={B} :two
		B2< MESG
		A< 201 n=2
		B2> ACKD count=1
		B2 sync
		B2> ACKD count=2
		B2< GBYE why=protocol
		B2 end`},
	{Name: "deliver/counts-broadcasts", Section: "6.5", Rule: "a broadcast counts as a delivery, PRES and other events do not", script: `
		B login pres=1
		A login
		B< PRES user={A} on=1
		A> CAST n=1 :one
		B< BCST
		A< 201 n=1
		B> ACKD count=1
		B sync
		B> ACKD count=2
		B< GBYE why=protocol
		B end`},
	{Name: "deliver/other-session", Section: "6.5", Rule: "what was not acknowledged goes to the user's next session, whatever its origin", script: `
		A login
		B login
		A> SEND n=1 to={B} :one
		B< MESG :{A}: one
		A< 201 n=1
		B quit
		B2 login / new=1 mail=1
		B2< MESG :{A}: one`},
	{Name: "deliver/at-most-once", Section: "6.5", Rule: "without acks=1 writing is delivering", script: `
		A login
		B login acks=- origin=b2{hex}
		A> SEND n=1 to={B} :one
		B< MESG :{A}: one
		A< 201 n=1
		B cut
		B2 login origin=b2{hex} / mail=0
		B2 quiet`},
	{Name: "deliver/fence", Section: "6.5", Rule: "a new connection of a user fences the older one: nothing more of it is decided or applied", script: `
		C login
		A login origin=a1{hex}
		A> SEND n=1 to={C} :before
		C< MESG :{A}: before
		A< 201 n=1
		A2 login origin=a1{hex} / new=0 known=1 high=1
		A> SEND n=2 to={C} :after
		A fenced
		C quiet
		A2> SEND n=2 to={C} :now
		C< MESG :{A}: now
		A2< 201 n=2`},
	{Name: "deliver/fence-ackd", Section: "6.5", Rule: "an acknowledgement on a fenced connection is not applied", script: `
		A login
		B login origin=b2{hex}
		A> SEND n=1 to={B} :one
		B< MESG :{A}: one
		A< 201 n=1
		B2 login origin=b2{hex} / mail=1
		B2< MESG :{A}: one
		B> ACKD count=1
		B fenced
		B2 cut
		B3 login origin=b2{hex} / mail=1
		B3< MESG :{A}: one`},
}

// inFlightCases are about what may be unacknowledged at a time.
var inFlightCases = []Case{
	{Name: "in-flight/256", Section: "6.5", Rule: "at most 256 deliveries are unacknowledged on a connection; each acknowledgement lets more leave", server: func(s *serverCase) {
		a, b := s.login("A"), s.login("B")
		var lines strings.Builder
		for n := 1; n <= 300; n++ {
			fmt.Fprintf(&lines, "SEND n=%d to=%s :%d\r\n", n, s.vars["B"], n)
		}
		a.raw([]byte(lines.String()))
		a.drain(300)
		for n := 1; n <= chatproto.V1.Limits.InFlight; n++ {
			b.want(fmt.Sprintf("MESG :%s: %d", s.vars["A"], n))
		}
		s.quiet()
		b.nothing()
		b.send("ACKD count=10")
		for n := 257; n <= 266; n++ {
			b.want(fmt.Sprintf("MESG :%s: %d", s.vars["A"], n))
		}
		s.quiet()
		b.nothing()
		b.send("ACKD count=266")
		for n := 267; n <= 300; n++ {
			b.want(fmt.Sprintf("MESG :%s: %d", s.vars["A"], n))
		}
	}},
	{Name: "in-flight/octets", Section: "6.5", Rule: "at most 1,048,576 octets of deliveries are unacknowledged on a connection", server: func(s *serverCase) {
		a, b := s.login("A"), s.login("B")
		text := strings.Repeat("x", 7168)
		for n := 1; n <= 160; n++ {
			a.send(fmt.Sprintf("SEND n=%d to=%s :%s", n, s.vars["B"], text))
		}
		a.drain(160)
		s.quiet()
		b.await(s.opts.Patience, func() bool { return b.size > 1_000_000 })
		s.quiet()
		b.mu.Lock()
		size, count := b.size, b.count
		b.mu.Unlock()
		if size > chatproto.V1.Limits.InFlightBytes {
			s.failf("B: %d octets are unacknowledged", size)
		}
		b.send(fmt.Sprintf("ACKD count=%d", count))
		for n := 1; n <= 160; n++ {
			b.next(&b.deliveries, "a message")
		}
	}},
	{Name: "in-flight/others", Section: "5.2", Rule: "the server does not wait for a client to read, to handle others", server: func(s *serverCase) {
		a := s.login("A")
		a.deafen(true)
		line := "ONLN\r\n" + strings.Repeat("BLOK user="+s.vars["nobody"]+"\r\n", 200)
		for range 300 {
			if a.writeWithin([]byte(line), 3*s.opts.Quiet) != nil {
				break // it reads no more until its answers are taken
			}
		}
		a.lax = true
		s.play(`
			B login
			C login
			B> SEND n=1 to={C} :is somebody there?
			C< MESG :{B}: is somebody there?
			C> ACKD count=1
			B< 201 n=1
			B quit
			C quit`)
		a.deafen(false)
		a.close()
	}},
}

// originCases are about what a server remembers of origins.
var originCases = []Case{
	{Name: "origin/known", Section: "6.6", Rule: "known=0 for an origin that is new to the server, known=1 when it held it before", script: `
		A login origin=a1{hex} / known=0 high=0
		A quit
		A2 login origin=a1{hex} / known=1 high=0
		A2 quit
		A3 login origin=a2{hex} / known=0 high=0`},
	{Name: "origin/drawn-is-forgotten", Section: "6.6", Rule: "an origin that the server drew is a new one to it in an AUTH", script: `
		A login origin=- / origin=@drawn
		A quit
		A2 login origin={drawn} / known=0 high=0 new=1`},
	{Name: "origin/forgotten", Section: "6.6", Rule: "an origin that AUTH says had a 230, and that the server does not hold, is not registered: the server draws one", script: `
		X helo
		X> AUTH user={A} pass={A.pass} origin=a1{hex} known=1
		X< 230 new=1 known=0 high=0 origin=@drawn
		X quit
		A login origin=a1{hex} / known=0 !origin
		A quit
		Y helo
		Y> AUTH user={A} pass={A.pass} origin=a1{hex} known=1
		Y< 230 known=1 !origin
		Y sync`},
	{Name: "origin/sixteen", Section: "6.6", Rule: "the server keeps 16 origins of a user and evicts the one that was idle longest", server: func(s *serverCase) {
		origin := func(i int) string { return fmt.Sprintf("origin=%x%s", 0xa0+i, s.vars["hex"]) }
		for i := range 17 {
			s.login("A", origin(i)).quit()
			s.sleep(s.opts.Quiet / 20) // idle times differ
		}
		for _, c := range []struct {
			i     int
			known string
		}{{16, "1"}, {2, "1"}, {1, "1"}, {0, "0"}} {
			a := s.login("A", origin(c.i))
			if got, _ := a.welcome.value("known"); got != c.known {
				s.failf("A: origin number %d of 17: known=%s, wanted %s", c.i+1, got, c.known)
			}
			a.quit()
		}
	}},
}
