package conformance

import (
	"fmt"
	"strings"
)

// sendCases are about SEND, MESG and 201.
var sendCases = []Case{
	{Name: "send/delivered", Section: "4.4", Rule: "a SEND is delivered as MESG with the sender, the id and the time, and answered 201", script: `
		A login origin=a1{hex}
		B login
		A> SEND n=1 to={B} :hello!
		B< MESG from={A} id=a1{hex}.1 t=* :{A}: hello!
		B> ACKD count=1
		A< 201 n=1 how=stored|delivered !skipped`},
	{Name: "send/acknowledged", Section: "6.4", Rule: "201 how=delivered promises an acknowledgement, how=stored none", script: `
		A login
		B login
		A> SEND n=1 to={B} :hello!
		B< MESG
		A< 201 n=1 how=stored`},
	{Name: "send/offline", Section: "7.5", Rule: "a SEND to a user without a session is stored", script: `
		A login
		A> SEND n=1 to={C} :are you there?
		A< 201 n=1 how=stored`},
	{Name: "send/no-such-user", Section: "4.4", Rule: "a SEND to a user who does not exist is answered 550", script: `
		A login
		A> SEND n=1 to={nobody} :hi
		A< 550 n=1 :{nobody} is not a valid user.`},
	{Name: "send/oneself", Section: "4.4", Rule: "a SEND to oneself is answered 550", script: `
		A login
		A> SEND n=1 to={A} :me
		A< 550 n=1 :{A} is not a valid user.`},
	{Name: "send/bad-name", Section: "3.4", Rule: "a name that is not well-formed is the name of nobody", server: func(s *serverCase) {
		a := s.login("A")
		for i, name := range []string{"", `a\sb`, `a\nb`, "\u00a0", "\ufeff", strings.Repeat("x", 65), strings.Repeat("x", 4000)} {
			a.send(fmt.Sprintf("SEND n=%d to=%s :hi", i+1, name))
			a.want(fmt.Sprintf("550 n=%d", i+1))
		}
	}},
	{Name: "send/name-by-octet", Section: "3.5", Rule: "names are compared octet by octet", server: func(s *serverCase) {
		a := s.login("A")
		b := s.vars["B"]
		for i, name := range []string{b + "x", b + `\s`, `\s` + b, b + "\u200b"} {
			a.send(fmt.Sprintf("SEND n=%d to=%s :hi", i+1, name))
			a.want(fmt.Sprintf("550 n=%d", i+1))
		}
	}},
	{Name: "send/capitals", Section: "3.5", Rule: "no two accounts have names that are equal under case folding", server: func(s *serverCase) {
		a := s.login("A")
		n := 0
		for _, name := range []string{strings.ToUpper(s.vars["B"]), strings.ToLower(s.vars["B"])} {
			if name != s.vars["B"] {
				n++
				a.send(fmt.Sprintf("SEND n=%d to=%s :hi", n, name))
				a.want(fmt.Sprintf("550 n=%d", n))
			}
		}
		if n == 0 {
			s.skipf("the name %s has no letters", s.vars["B"])
		}
	}},
	{Name: "send/order", Section: "6.5", Rule: "a sender's messages are delivered in their order, each once", server: func(s *serverCase) {
		a, b := s.login("A"), s.login("B")
		var lines strings.Builder
		for i := range 200 {
			fmt.Fprintf(&lines, "SEND n=%d to=%s :text %d\r\n", i+1, s.vars["B"], i+1)
		}
		a.raw([]byte(lines.String()))
		for i := range 200 {
			b.want(fmt.Sprintf("MESG :%s: text %d", s.vars["A"], i+1))
			if i%50 == 49 {
				b.send(fmt.Sprintf("ACKD count=%d", i+1))
			}
		}
		for i := range 200 {
			a.want(fmt.Sprintf("201 n=%d", i+1))
		}
	}},
	{Name: "send/two-senders", Section: "4.4", Rule: "messages of several senders keep their senders", script: `
		A login
		B login
		C login
		A> SEND n=1 to={C} :from a
		C< MESG from={A} :{A}: from a
		A< 201 n=1
		B> SEND n=1 to={C} :from b
		C< MESG from={B} :{B}: from b
		B< 201 n=1`},
	{Name: "send/time", Section: "4.4", Rule: "the times of deliveries do not go back", server: func(s *serverCase) {
		a, b := s.login("A"), s.login("B")
		last, _ := b.hello.frame.Uint("t")
		for n := 1; n <= 3; n++ {
			a.send(fmt.Sprintf("SEND n=%d to=%s :hi", n, s.vars["B"]))
			t, _ := b.want("MESG t=*").frame.Uint("t")
			if t < last {
				s.failf("B: t=%d after t=%d", t, last)
			}
			last = t
			a.want(fmt.Sprintf("201 n=%d", n))
		}
	}},
}

// textCases are about the text of a message.
var textCases = []Case{
	{Name: "text/empty", Section: "3.6", Rule: "a message without text is a message", script: `
		A login
		B login
		A> SEND n=1 to={B}
		B< MESG :{A}:
		A< 201 n=1`},
	{Name: "text/space", Section: "3.6", Rule: "spaces at the ends of a text are text", server: func(s *serverCase) {
		a, b := s.login("A"), s.login("B")
		a.send("SEND n=1 to=" + s.vars["B"] + " :  a  ")
		b.want("MESG :" + s.vars["A"] + ":   a  ")
		a.want("201 n=1")
	}},
	{Name: "text/longest", Section: "3.6", Rule: "a text of 7,168 octets is taken, and arrives whole", script: `
		A login
		B login
		A> SEND n=1 to={B} :{7168*x}
		B< MESG :{A}: {7168*x}
		A< 201 n=1`},
	{Name: "text/too-long", Section: "4.4", Rule: "a text of 7,169 octets is answered 552", script: `
		A login
		B login
		A> SEND n=1 to={B} :{7169*x}
		A< 552 n=1
		A> CAST n=2 :{7169*x}
		A< 552 n=2
		B quiet`},
	{Name: "text/escapes-count", Section: "3.6", Rule: "the limit of a text counts octets as on the wire, escapes too", script: `
		A login
		B login
		A> SEND n=1 to={B} :{3584*\n}
		B< MESG :{A}: {3584*\n}
		A< 201 n=1
		A> SEND n=2 to={B} :{3584*\\}x
		A< 552 n=2`},
	{Name: "text/exists-first", Section: "4.4", Rule: "whether the user exists is looked at before the length of the text", script: `
		A login
		A> SEND n=1 to={nobody} :{7169*x}
		A< 550 n=1
		A> SEND n=2 to={A} :{7169*x}
		A< 550 n=2`},
	{Name: "text/length-before-block", Section: "4.4", Rule: "the length of the text is looked at before a block", script: `
		A login
		B login
		A> BLOK n=1 user={B}
		A< 200 n=1
		B> SEND n=1 to={A} :{7169*x}
		B< 552 n=1`},
	{Name: "text/looks-like-a-frame", Section: "3.1", Rule: "a text cannot forge a line", script: `
		A login
		B login
		A> SEND n=1 to={B} :x\nMESG from={C} id=1.1 t=1 :{C}: forged\n221
		B< MESG from={A} :{A}: x\nMESG from={C} id=1.1 t=1 :{C}: forged\n221
		A< 201 n=1
		B sync`},
}

// castCases are about CAST and BCST.
var castCases = []Case{
	{Name: "cast/audience", Section: "4.4", Rule: "a CAST is delivered as BCST to everybody online but its sender", script: `
		A login origin=a1{hex}
		B login
		C login
		A> CAST n=1 :psa
		B< BCST from={A} id=a1{hex}.1 t=* :{A}: psa
		C< BCST from={A} id=a1{hex}.1 t=* :{A}: psa
		A< 201 n=1 how=stored|delivered !skipped
		A quiet`},
	{Name: "cast/same-octets", Section: "6.5", Rule: "the octets of a broadcast are the same for all its recipients", server: func(s *serverCase) {
		a, b, c := s.login("A"), s.login("B"), s.login("C")
		a.send("CAST n=1 :psa")
		if x, y := b.want("BCST"), c.want("BCST"); x.line != y.line {
			s.failf("B got %s and C %s", quoted(x.line), quoted(y.line))
		}
		a.want("201 n=1")
	}},
	{Name: "cast/empty", Section: "3.6", Rule: "a CAST may be empty", script: `
		A login
		B login
		A> CAST n=1
		B< BCST :{A}:
		A< 201 n=1`},
	{Name: "cast/offline", Section: "4.4", Rule: "a CAST does not go to who has no session", script: `
		A login
		B login
		A> CAST n=1 :psa
		B< BCST
		A< 201 n=1
		C login / mail=0
		C quiet`},
	{Name: "cast/blocked", Section: "4.4", Rule: "a CAST does not go to those who have blocked its sender", script: `
		A login
		B login
		C login
		A> BLOK n=1 user={B}
		A< 200 n=1
		B> CAST n=1 :check 1 2 3
		C< BCST from={B} :{B}: check 1 2 3
		B< 201 n=1
		A quiet
		A> CAST n=2 :one way
		B< BCST from={A}
		C< BCST from={A}
		A< 201 n=2`},
	{Name: "cast/lingering", Section: "4.4", Rule: "a session without a connection is in the audience", script: `
		B login origin=b2{hex}
		B cut
		A login
		A> CAST n=1 :psa
		A< 201 n=1
		B2 login origin=b2{hex} / new=0 mail=1
		B2< BCST from={A} :{A}: psa`},
	{Name: "cast/order", Section: "6.5", Rule: "messages and broadcasts of a sender arrive in their order", script: `
		A login
		B login
		A raw "SEND n=1 to={B} :1\r\nCAST n=2 :2\r\nSEND n=3 to={B} :3\r\nCAST n=4 :4\r\nSEND n=5 to={nobody} :5\r\nSEND n=6 to={B} :6\r\n"
		B< MESG :{A}: 1
		B< BCST :{A}: 2
		B< MESG :{A}: 3
		B< BCST :{A}: 4
		B< MESG :{A}: 6
		A< 201 n=1
		A< 201 n=2
		A< 201 n=3
		A< 201 n=4
		A< 550 n=5
		A< 201 n=6`},
}

// quotaCases are about mailboxes that are full.
var quotaCases = []Case{
	{Name: "quota/share", Section: "6.4", Rule: "a mailbox takes a quarter of its quota from one sender: more is answered 452, and a CAST counts it as skipped", server: func(s *serverCase) {
		b := s.login("B", "origin=b2"+s.vars["hex"])
		b.close()
		a := s.login("A")
		n := s.fill(a, "B", 'x')
		a.send(fmt.Sprintf("CAST n=%d :%s", n+1, strings.Repeat("x", 7168)))
		h := a.want(fmt.Sprintf("201 n=%d skipped=*", n+1))
		if skipped, _ := h.frame.Uint("skipped"); skipped < 1 {
			s.failf("A: %s, though a mailbox is full", quoted(h.line))
		}
		a.send(fmt.Sprintf("SEND n=%d to=%s :there is room elsewhere", n+2, s.vars["C"]))
		a.want(fmt.Sprintf("201 n=%d", n+2))
		c := s.login("C")
		c.want("MESG from=" + s.vars["A"])
		c.send("SEND n=1 to=" + s.vars["B"] + " :and for others")
		c.want("201 n=1")
	}},
	{Name: "quota/room-again", Section: "6.4", Rule: "what is acknowledged makes room in the mailbox", server: func(s *serverCase) {
		a := s.login("A")
		n := s.fill(a, "B", 'x')
		b := s.login("B")
		for i := range 8 {
			b.next(&b.deliveries, "the mail")
			b.send(fmt.Sprintf("ACKD count=%d", i+1))
		}
		b.sync()
		a.send(fmt.Sprintf("SEND n=%d to=%s :%s", n+1, s.vars["B"], strings.Repeat("y", 7000)))
		a.want(fmt.Sprintf("201 n=%d", n+1))
		b.lax = true
	}},
}

// fill sends mail to a user until it is refused, and returns the number of the
// request that was.
func (s *serverCase) fill(a *link, to string, letter rune) int {
	const most = 700 // more than a quarter of the default of 16 MiB
	text := strings.Repeat(string(letter), 7168)
	n := 0
	for n < most {
		for range 50 {
			n++
			a.send(fmt.Sprintf("SEND n=%d to=%s :%s", n, s.vars[to], text))
		}
		refused := 0
		for range 50 {
			h := a.next(&a.replies, "a reply to SEND")
			switch h.frame.Code.String() {
			case "201":
				if refused > 0 {
					s.failf("A: accepted after a 452: %s", quoted(h.line))
				}
			case "452":
				refused++
			default:
				s.failf("A: got %s; wanted 201 or 452", quoted(h.line))
			}
		}
		if refused > 0 {
			return n
		}
	}
	s.skipf("the mailbox holds more than the default")
	return 0
}
