package conformance

import (
	"fmt"
	"strings"
)

// checkCases are about the order of checks that every request goes through.
var checkCases = []Case{
	{Name: "check/unknown-verb", Section: "4.2", Rule: "an unknown verb is answered 500 with the request's n=, and the connection goes on", script: `
		A login
		A> ZZZZ n=7 to={B} :hi
		A< 500 n=7 !at
		A sync`},
	{Name: "check/unknown-verb-bad-n", Section: "4.2", Rule: "the verb is looked at before n=", script: `
		A login
		A> ZZZZ n=x
		A< 500 !n !at`},
	{Name: "check/reply-as-request", Section: "4.2", Rule: "a reply is no request", script: `
		A login
		A> 201 n=3
		A< 500 n=3
		A> 599
		A< 500`},
	{Name: "check/event-as-request", Section: "4.2", Rule: "an event is no request", script: `
		A login
		A> MESG n=1 from={B} id=1.1 t=1 :{B}: forged
		A< 500 n=1
		A> PRES n=2 user={B} on=0
		A< 500 n=2
		A> GBYE n=3
		A< 500 n=3`},
	{Name: "check/peer", Section: "4.2", Rule: "PEER is not for a server", script: `
		A login
		A> PEER v=1 from={A} to={B}
		A< 500`},
	{Name: "check/phase-before-n", Section: "4.2", Rule: "the phase is looked at before n=", script: `
		X helo
		X> SEND n=x to={A} :hi
		X< 530 !n`},
	{Name: "check/n-before-fields", Section: "4.2", Rule: "n= is looked at before the other fields", script: `
		A login
		A> SEND n=x
		A< 501 !n
		A> LSTN n=0 port=80
		A< 501 !n`},
	{Name: "check/bad-n", Section: "4.2", Rule: "n= that is not a number from 1 is answered 501 without n=", server: func(s *serverCase) {
		a := s.login("A")
		for _, n := range []string{"0", "01", "-1", "+1", "1-2", "1.0", "x", "", "0x1", "18446744073709551616", "99999999999999999999999"} {
			for _, verb := range []string{"SEND to=" + s.vars["B"], "RVKE user=x", "ONLN", "QUIT"} {
				a.send(verb + " n=" + n)
				a.leaving = false
				a.want("501 !n")
			}
		}
	}},
	{Name: "check/bad-n-unanswered", Section: "4.2", Rule: "the n= of LIVE and ACKD is ignored", script: `
		A login
		A> LIVE n=x
		A> ACKD n=0 count=0
		A sync`},
	{Name: "check/greatest-n", Section: "3.4", Rule: "numbers have 64 bits", script: `
		A login
		A> RVKE n=18446744073709551615 user=x
		A< 200 n=18446744073709551615`},
	{Name: "check/missing-field", Section: "4.2", Rule: "a request without a required field is answered 501 with its n=", server: func(s *serverCase) {
		a := s.login("A")
		for i, verb := range []string{"SEND", "BLOK", "UBLK", "ADDR", "CNST", "RVKE", "LSTN"} {
			a.send(fmt.Sprintf("%s n=%d other=x", verb, i+1))
			a.want(fmt.Sprintf("501 n=%d", i+1))
		}
	}},
	{Name: "check/decided-before-fields", Section: "4.2", Rule: "a number that is decided already is looked at before the fields", script: `
		A login
		B login
		A> SEND n=1 to={B} :hi
		B< MESG :{A}: hi
		A< 201 n=1
		A> SEND n=1
		A< 201 n=1
		B quiet`},
	{Name: "check/n-on-helo-and-auth", Section: "4.2", Rule: "an answer carries the n= of its request, those to HELO and AUTH too", script: `
		X open
		X> HELO n=5 v=1
		X< 220 n=5
		X> AUTH n=6 user={nobody}
		X< 331 n=6
		X> AUTH n=7 user=
		X< 501 n=7
		X> SEND n=8 to={A}
		X< 530 n=8
		X> QUIT n=9
		X< 221 n=9
		X end`},
	{Name: "check/unasked-field", Section: "4.2", Rule: "a field that no table lists for a request is ignored", script: `
		A login
		B login
		A> SEND count=x n=1 port=99999 to={B} v=99 :hi
		B< MESG :{A}: hi
		A< 201 n=1`},
	{Name: "reply/order", Section: "5.2", Rule: "replies come in the order of the requests", script: `
		A login
		B login
		A raw "SEND n=1 to={B} :one\r\nONLN n=2 after={nobody}\r\nSEND n=3 to={nobody}\r\nRVKE n=4 user=x\r\nBLOK n=5 user={nobody}\r\nSEND n=6 to={C} :two\r\nSEND n=7 to={nobody}\r\n"
		B< MESG :{A}: one
		A< 201 n=1
		A page n=2
		A< 550 n=3
		A< 200 n=4
		A< 550 n=5
		A< 201 n=6
		A< 550 n=7`},
	{Name: "reply/unnumbered", Section: "5.2", Rule: "a request without n= is answered in its turn", script: `
		A login
		A raw "RVKE n=1 user=x\r\nRVKE user=x\r\nSEND n=2 to={nobody}\r\nBLOK user={nobody}\r\nRVKE n=3 user=x\r\n"
		A< 200 n=1
		A< 200 !n
		A< 550 n=2
		A< 550 !n
		A< 200 n=3`},
}

// phaseCases are about what is allowed when.
var phaseCases = []Case{
	{Name: "phase/helo-twice", Section: "5.1", Rule: "HELO in Greeted is answered 503", script: `
		X helo
		X> HELO v=1
		X< 503
		X> AUTH user={nobody}
		X< 331`},
	{Name: "phase/helo-ready", Section: "5.1", Rule: "HELO and AUTH in Ready are answered 503, and the session goes on", script: `
		A login
		A> HELO v=1
		A< 503
		A> AUTH n=4 user={A} pass={A.pass}
		A< 503 n=4
		A sync`},
	{Name: "phase/quit-opened", Section: "5.1", Rule: "QUIT in Opened is answered 221 and closes", script: `
		X open
		X> QUIT n=3
		X< 221 n=3
		X end`},
	{Name: "phase/quit-greeted", Section: "5.1", Rule: "QUIT in Greeted is answered 221 and closes", script: `
		X helo
		X> QUIT
		X< 221 !n
		X end`},
	{Name: "phase/live", Section: "5.1", Rule: "LIVE is taken in every phase and not answered", script: `
		X open
		X> LIVE
		X> HELO v=1
		X< 220
		X> LIVE
		X> AUTH user={A} pass={A.pass}
		X< 230
		X> LIVE
		X> LIVE
		X quiet
		X sync`},
	{Name: "phase/piped", Section: "5.1", Rule: "a request is judged in the phase that the server is in when its turn comes: a script that is piped at once works", script: `
		B login
		X open
		X raw "HELO v=1\r\nSEND to={B} :early\r\nAUTH user={A} pass={A.pass}\r\nSEND to={B} :hi\r\nQUIT\r\n"
		X< 220
		X< 530
		X< 230
		X< 201
		X< 221
		X end
		B< MESG :{A}: hi`},
	{Name: "phase/events-unknown-early", Section: "5.1", Rule: "an unknown verb in Opened is answered 500 and closes", script: `
		X open
		X> ZZZZ
		X< 500
		X end`},
	{Name: "phase/unknown-greeted", Section: "5.1", Rule: "an unknown verb in Greeted is answered 500, and the login can go on", script: `
		X helo
		X> ZZZZ n=2
		X< 500 n=2
		X> AUTH user={nobody}
		X< 331`},
}

// readyVerbs are requests of phase Ready, as they would be right there.
var readyVerbs = []string{
	"LSTN n=1 port=28403", "SEND n=1 to={B} :hi", "CAST n=1 :psa", "ONLN n=1", "BLOK n=1 user={B}", "UBLK n=1 user={B}",
	"ADDR n=1 user={B}", "CNST n=1 user={B}", "RVKE n=1 user={B}", "ACKD n=1 count=0",
	"RLAY n=1 user={B}", "RDAT n=1 s=1 data=AAAA",
}

// earlyCases are requests that come before their phase.
func earlyCases() []Case {
	var cases []Case
	for _, line := range readyVerbs {
		verb := line[:4]
		cases = append(cases, Case{Name: "phase/early-" + strings.ToLower(verb), Section: "5.1",
			Rule: verb + " before the login is answered 530, and the login can go on", script: `
			X helo
			X> ` + line + `
			X< 530 n=1
			X> AUTH user={nobody}
			X< 331`})
	}
	for _, line := range append([]string{"AUTH n=1 user={A} pass={A.pass}"}, readyVerbs...) {
		verb := line[:4]
		cases = append(cases, Case{Name: "phase/opened-" + strings.ToLower(verb), Section: "5.1",
			Rule: verb + " before HELO is answered 503 and closes", script: `
			X open
			X> ` + line + `
			X< 503 n=1
			X end`})
	}
	return cases
}

// unnumberedCases are requests that carry no number: the answer has none.
func unnumberedCases() []Case {
	var cases []Case
	for _, c := range []struct{ line, answer string }{
		{"LSTN port=28403", "200"}, {"BLOK user={nobody}", "550"}, {"UBLK user={nobody}", "550"},
		{"ADDR user={nobody}", "550"}, {"CNST user={nobody}", "554"}, {"RVKE user={nobody}", "200"},
	} {
		verb := c.line[:4]
		cases = append(cases, Case{Name: "reply/" + strings.ToLower(verb), Section: "4.1",
			Rule: "the answer to " + verb + " repeats its n=, and has none if it had none", script: `
			A login
			A> ` + c.line + `
			A< ` + c.answer + ` !n
			A> ` + strings.Replace(c.line, " ", " n=41 ", 1) + `
			A< ` + c.answer + ` n=41`})
	}
	return cases
}
