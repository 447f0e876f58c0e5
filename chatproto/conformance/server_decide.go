package conformance

import (
	"fmt"
	"strings"
)

// numberCases are about the numbers of requests.
var numberCases = []Case{
	{Name: "number/id", Section: "6.2", Rule: "id= is the origin and the number of the request", script: `
		A login origin=abc{hex}
		B login
		A> SEND n=41 to={B} :hi
		B< MESG id=abc{hex}.41
		A< 201 n=41
		A> CAST n=43 :psa
		B< BCST id=abc{hex}.43
		A< 201 n=43`},
	{Name: "number/drawn", Section: "6.2", Rule: "without n= the server draws numbers, ascending in the origin that it drew", script: `
		A login origin=- / origin=@drawn
		B login
		A> SEND to={B} :one
		B< MESG id=@one :{A}: one
		A< 201 !n
		A> SEND to={nobody} :two
		A< 550 !n
		A> CAST :three
		B< BCST id=@three
		A< 201 !n
		differ {one} {three}
		prefix {drawn}. {one}
		prefix {drawn}. {three}`},
	{Name: "number/then-none", Section: "6.2", Rule: "in an origin that began with n= a SEND or CAST without is answered 501", script: `
		A login
		B login
		A> SEND n=1 to={B} :hi
		B< MESG
		A< 201 n=1
		A> SEND to={B} :no number
		A< 501 !n
		A> CAST :no number
		A< 501 !n
		A> SEND n=2 to={B} :again
		B< MESG :{A}: again
		A< 201 n=2`},
	{Name: "number/none-then", Section: "6.2", Rule: "in an origin that began without n= a SEND or CAST with one is answered 501", script: `
		A login
		B login
		A> SEND to={B} :hi
		B< MESG
		A< 201 !n
		A> SEND n=5 to={B} :a number
		A< 501 n=5
		A> CAST n=6 :a number
		A< 501 n=6
		A> SEND to={B} :again
		B< MESG :{A}: again
		A< 201 !n`},
	{Name: "number/refused-first", Section: "6.2", Rule: "a request that was refused says as well whether an origin has numbers", script: `
		A login
		A> SEND n=1 to={nobody} :hi
		A< 550 n=1
		A> SEND to={nobody} :no number
		A< 501 !n`},
	{Name: "number/tags", Section: "6.2", Rule: "the number of another request is only a tag: it decides nothing", script: `
		A login
		B login
		A> RVKE n=9 user=x
		A< 200 n=9
		A> SEND n=1 to={B} :hi
		B< MESG :{A}: hi
		A< 201 n=1
		A> RVKE n=1 user=x
		A< 200 n=1`},
	{Name: "number/origins-of-users", Section: "6.6", Rule: "origins of different users are independent, even if equal", script: `
		A login origin=e{hex}
		B login origin=e{hex}
		C login
		A> SEND n=1 to={C} :from a
		C< MESG from={A} id=e{hex}.1
		A< 201 n=1
		B> SEND n=1 to={C} :from b
		C< MESG from={B} id=e{hex}.1
		B< 201 n=1`},
	{Name: "number/origins-of-one", Section: "6.2", Rule: "each origin of a user has its own numbers", script: `
		B login
		A login
		A> SEND n=1 to={B} :one
		B< MESG :{A}: one
		A< 201 n=1
		A quit
		A2 login / known=0 high=0
		A2> SEND n=1 to={B} :two
		B< MESG :{A}: two
		A2< 201 n=1`},
}

// decideCases are about requests that are decided once.
var decideCases = []Case{
	{Name: "decide/accepted-again", Section: "6.3", Rule: "an accepted number gets the accepted answer again, and is not delivered again", script: `
		A login
		B login
		A> SEND n=1 to={B} :hi
		B< MESG :{A}: hi
		B> ACKD count=1
		A< 201 n=1
		A> SEND n=1 to={B} :hi
		A< 201 n=1 how=stored|delivered
		B quiet`},
	{Name: "decide/not-acknowledged", Section: "6.3", Rule: "a duplicate of a message that is not acknowledged is not delivered again", script: `
		A login
		B login
		A> SEND n=1 to={B} :hi
		B< MESG :{A}: hi
		A> SEND n=1 to={B} :hi
		A< 201 n=1
		A< 201 n=1
		B quiet`},
	{Name: "decide/other-content", Section: "6.3", Rule: "nothing else is looked at in a number that is decided: other content is a duplicate too", script: `
		A login
		B login
		C login
		A> SEND n=1 to={B} :hi
		B< MESG :{A}: hi
		A< 201 n=1
		A> SEND n=1 to={C} :something else
		A< 201 n=1
		A> CAST n=1 :a broadcast
		A< 201 n=1
		A> SEND n=1 to={nobody} :nobody
		A< 201 n=1
		A> SEND n=1 to={B} :{7169*x}
		A< 201 n=1
		B quiet
		C quiet`},
	{Name: "decide/refused-again", Section: "6.3", Rule: "a refused number is answered 455, whatever it says now", script: `
		A login
		B login
		A> SEND n=1 to={nobody} :hi
		A< 550 n=1
		A> SEND n=1 to={nobody} :hi
		A< 455 n=1
		A> SEND n=1 to={B} :hi
		A< 455 n=1
		A> CAST n=1 :hi
		A< 455 n=1
		B quiet`},
	{Name: "decide/every-refusal", Section: "6.3", Rule: "501, 550 and 552 decide a number", script: `
		A login
		B login
		A> SEND n=1 :no recipient
		A< 501 n=1
		A> SEND n=2 to={A} :oneself
		A< 550 n=2
		A> SEND n=3 to={B} :{7169*x}
		A< 552 n=3
		A> CAST n=4 :{7169*x}
		A< 552 n=4
		A raw "SEND n=1 to={B} :a\r\nSEND n=2 to={B} :b\r\nSEND n=3 to={B} :c\r\nCAST n=4 :d\r\n"
		A< 455 n=1
		A< 455 n=2
		A< 455 n=3
		A< 455 n=4
		B quiet`},
	{Name: "decide/blocked", Section: "6.3", Rule: "a number that a block refused stays refused when the block is taken back", server: func(s *serverCase) {
		s.skipIfHidden()
		s.play(`
			A login
			B login
			A> BLOK user={B}
			A< 200
			B> SEND n=1 to={A} :hello?
			B< 553 n=1
			A> UBLK user={B}
			A< 200
			B> SEND n=1 to={A} :hello?
			B< 455 n=1
			B> SEND n=2 to={A} :hello!
			A< MESG :{B}: hello!
			B< 201 n=2
		`)
	}},
	{Name: "decide/skipped-numbers", Section: "6.3", Rule: "numbers below the highest that were never seen count as refused", script: `
		A login
		B login
		A> SEND n=5 to={B} :five
		B< MESG :{A}: five
		A< 201 n=5
		A> SEND n=4 to={B} :four
		A< 455 n=4
		A> SEND n=1 to={B} :one
		A< 455 n=1
		B quiet`},
	{Name: "decide/phase-decides-nothing", Section: "6.3", Rule: "a request that its phase refused decides nothing", script: `
		B login
		X helo
		X> SEND n=1 to={B} :too early
		X< 530 n=1
		X> AUTH user={A} pass={A.pass} origin=a1{hex}
		X< 230 high=0
		X> SEND n=1 to={B} :now
		B< MESG :{A}: now
		X< 201 n=1`},
	{Name: "decide/unreadable-decides-nothing", Section: "6.3", Rule: "a request whose n= could not be read decides nothing", script: `
		A login
		B login
		A> SEND n=01 to={B} :bad
		A< 501 !n
		A> SEND n=1 to={B} :good
		B< MESG :{A}: good
		A< 201 n=1`},
	{Name: "decide/cast-again", Section: "6.3", Rule: "a broadcast is sent once", script: `
		A login
		B login
		A> CAST n=1 :psa
		B< BCST :{A}: psa
		A< 201 n=1
		A> CAST n=1 :psa
		A< 201 n=1
		B quiet`},
	{Name: "decide/reconnect", Section: "6.3", Rule: "what is decided stays decided when the connection is lost", script: `
		B login
		A login origin=a1{hex}
		A> SEND n=1 to={B} :one
		B< MESG :{A}: one
		B> ACKD count=1
		A< 201 n=1
		A> SEND n=2 to={nobody} :two
		A< 550 n=2
		A> CAST n=3 :three
		B< BCST :{A}: three
		A< 201 n=3
		A cut
		A2 login origin=a1{hex} / new=0 known=1 high=3
		A2 raw "SEND n=1 to={B} :one\r\nSEND n=2 to={B} :two\r\nCAST n=3 :three\r\nSEND n=4 to={B} :four\r\n"
		B< MESG :{A}: four
		A2< 201 n=1
		A2< 455 n=2
		A2< 201 n=3
		A2< 201 n=4`},
	{Name: "decide/logout", Section: "6.3", Rule: "what is decided stays decided when the session ends", script: `
		B login
		A login origin=a1{hex}
		A> SEND n=1 to={B} :one
		B< MESG :{A}: one
		A< 201 n=1
		A> SEND n=7 to={nobody} :seven
		A< 550 n=7
		A quit
		A2 login origin=a1{hex} / new=1 known=1 high=7
		A2> SEND n=1 to={B} :one
		A2< 201 n=1
		A2> SEND n=7 to={B} :seven
		A2< 455 n=7
		A2> SEND n=8 to={B} :eight
		B< MESG :{A}: eight
		A2< 201 n=8`},
	{Name: "decide/offline-again", Section: "6.3", Rule: "mail that was resent waits once", script: `
		A login origin=a1{hex}
		A> SEND n=1 to={C} :one
		A< 201 n=1
		A cut
		A2 login origin=a1{hex} / new=0 known=1 high=1
		A2> SEND n=1 to={C} :one
		A2< 201 n=1
		C login / mail=1
		C< MESG :{A}: one`},
}

// windowCases are about how far back the server remembers.
var windowCases = []Case{
	{Name: "window/remembers-256", Section: "6.3", Rule: "of the 256 numbers up to the highest the server knows which were accepted", script: `
		A login
		B login
		A> SEND n=45 to={B} :old
		B< MESG :{A}: old
		A< 201 n=45
		A> SEND n=300 to={B} :new
		B< MESG :{A}: new
		A< 201 n=300
		A> SEND n=45 to={B} :old
		A< 201 n=45
		A> SEND n=46 to={B} :never seen
		A< 455 n=46
		B quiet`},
	{Name: "window/forgets-257", Section: "6.3", Rule: "a number older than the window is answered 455", script: `
		A login
		B login
		A> SEND n=44 to={B} :old
		B< MESG :{A}: old
		A< 201 n=44
		A> SEND n=300 to={B} :new
		B< MESG :{A}: new
		A< 201 n=300
		A> SEND n=44 to={B} :old
		A< 455 n=44
		B quiet`},
	{Name: "window/far", Section: "6.3", Rule: "a number far above the highest is decided", script: `
		A login
		B login
		A> SEND n=1 to={B} :near
		B< MESG :{A}: near
		A< 201 n=1
		A> SEND n=18446744073709551615 to={B} :far
		B< MESG id={A.origin}.18446744073709551615 :{A}: far
		A< 201 n=18446744073709551615
		A> SEND n=18446744073709551615 to={B} :far
		A< 201 n=18446744073709551615
		A> SEND n=2 to={B} :late
		A< 455 n=2`},
	{Name: "window/high", Section: "6.6", Rule: "high= is the highest number that was decided, accepted or refused, and 0 if none", script: `
		B login
		A login origin=a1{hex} / high=0
		A> RVKE n=50 user=x
		A< 200 n=50
		A quit
		A2 login origin=a1{hex} / high=0
		A2> SEND n=3 to={B} :hi
		B< MESG
		A2< 201 n=3
		A2> SEND n=9 to={nobody} :hi
		A2< 550 n=9
		A2 quit
		A3 login origin=a1{hex} / high=9`},
	{Name: "window/pipelined-256", Section: "6.2", Rule: "256 numbers may be unanswered at a time", server: func(s *serverCase) {
		a, b := s.login("A"), s.login("B")
		var lines strings.Builder
		for n := 1; n <= 256; n++ {
			fmt.Fprintf(&lines, "SEND n=%d to=%s :%d\r\n", n, s.vars["B"], n)
		}
		a.raw([]byte(lines.String()))
		for n := 1; n <= 256; n++ {
			b.want(fmt.Sprintf("MESG :%s: %d", s.vars["A"], n))
			a.want(fmt.Sprintf("201 n=%d", n))
		}
	}},
}
