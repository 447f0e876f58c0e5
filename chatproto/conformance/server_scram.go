package conformance

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
)

// scramCase is a case that is skipped where SCRAM is not offered. The link X is
// greeted.
func scramCase(name, section, rule string, f func(s *serverCase, x *link)) Case {
	return Case{Name: "scram/" + name, Section: section, Rule: rule, server: func(s *serverCase) {
		x := s.open("X")
		if !offers(x, "SCRAM-SHA-256") && !offers(x, "SCRAM-SHA-256-PLUS") {
			s.skipf("the server does not offer SCRAM")
		}
		if !isASCII(s.target.Accounts[0].Password) {
			s.skipf("the password of %s is not ASCII", s.target.Accounts[0].User)
		}
		f(s, x)
	}}
}

// scramFor begins an exchange as the user A.
func (s *serverCase) scramFor(l *link) *scramExchange {
	return newScram(l, s.target.Accounts[0].User, s.target.Accounts[0].Password)
}

// challenged takes the first step, which is right.
func (s *serverCase) challenged(l *link, x *scramExchange) {
	l.send(x.begin())
	if err := x.challenge(l.want("334 data=*")); err != nil {
		s.failf("%s: %v", l.name, err)
	}
}

// tampered expects what answers a handshake that was changed.
func (s *serverCase) tampered(l *link) {
	l.want("501")
	l.want("GBYE why=protocol")
	l.ended(s.opts.Patience)
}

var scramCases = []Case{
	scramCase("login", "9.2", "a right proof logs in, and the server proves itself", func(s *serverCase, l *link) {
		x := s.scramFor(l)
		s.challenged(l, x)
		l.send(x.finish())
		if err := x.verify(l.want("230 user=" + s.vars["A"] + " data=*")); err != nil {
			s.failf("X: %v", err)
		}
		l.sync()
	}),
	scramCase("without-binding", "9.2", "without a binding, too, a right proof logs in", func(s *serverCase, l *link) {
		if !offers(l, "SCRAM-SHA-256") {
			s.skipf("the server wants a binding")
		}
		x := s.scramFor(l)
		x.mech, x.flag, x.binding = "SCRAM-SHA-256", "n", nil
		s.challenged(l, x)
		l.send(x.finish())
		if err := x.verify(l.want("230 data=*")); err != nil {
			s.failf("X: %v", err)
		}
		l.sync()
	}),
	scramCase("wrong-proof", "9.2", "a wrong proof is answered as a wrong password is, and never with e=", func(s *serverCase, l *link) {
		for _, answer := range []string{"535 left=2 !data", "535 left=1 !data", "450 retry=* !data"} {
			x := newScram(l, s.vars["nobody"], "wrong")
			s.challenged(l, x)
			l.send(x.finish())
			l.want(answer)
		}
		l.ended(s.opts.Patience)
	}),
	scramCase("counted-with-plain", "9.2", "failed logins by SCRAM and by PLAIN are counted together", func(s *serverCase, l *link) {
		if !offers(l, "PLAIN") {
			s.skipf("the server does not offer PLAIN here")
		}
		l.send("AUTH user=" + s.vars["nobody"] + " pass=wrong")
		l.want("535 left=2")
		x := newScram(l, s.vars["nobody"], "wrong")
		s.challenged(l, x)
		l.send(x.finish())
		l.want("535 left=1")
	}),
	scramCase("unknown-alike", "9.2", "for a name that does not exist the 334 is like that of one that does, and the same each time", func(s *serverCase, l *link) {
		challenge := func(user string) (salt string, iterations int) {
			x := newScram(l, user, "")
			s.challenged(l, x)
			_, b, iterations, _ := readServerFirst(x.first)
			return string(b), iterations
		}
		salt, iterations := challenge(s.target.Accounts[0].User)
		if again, _ := challenge(s.target.Accounts[0].User); again != salt {
			s.failf("X: the salt of an account changes")
		}
		other, otherIterations := challenge(s.vars["nobody"])
		again, _ := challenge(s.vars["nobody"])
		third, _ := challenge(s.vars["noone"])
		switch {
		case len(other) != len(salt) || otherIterations != iterations:
			s.failf("X: an account has %d octets of salt and %d iterations, a name without one %d and %d", len(salt), iterations, len(other), otherIterations)
		case other != again:
			s.failf("X: the salt of a name without an account changes")
		case other == third || other == salt:
			s.failf("X: two names have one salt")
		}
	}),
	scramCase("replay", "9.2", "a proof is good for one exchange", func(s *serverCase, l *link) {
		x := s.scramFor(l)
		s.challenged(l, x)
		proof := x.finish()
		y := s.open("Y")
		x.nonce = x.nonce[:24] + handshakeHash(y.helo, y.hello.line)
		s.challenged(y, x)
		y.send(proof)
		s.tampered(y)
	}),
	scramCase("nonce-is-new", "9.2", "the server's nonce is new each time", func(s *serverCase, l *link) {
		x := s.scramFor(l)
		var seen []string
		for range 4 {
			s.challenged(l, x)
			nonce, _, _, _ := readServerFirst(x.first)
			if slices.Contains(seen, nonce) {
				s.failf("X: the server's nonce came twice")
			}
			seen = append(seen, nonce)
		}
	}),
	scramCase("changed-hash", "9.2", "a nonce with the hash of another HELO or 220 says that the handshake was changed", func(s *serverCase, l *link) {
		for i, helo := range []string{l.helo + " caps=relay", l.helo} {
			y := s.open(fmt.Sprint("Y", i))
			x := s.scramFor(y)
			greeting := y.hello.line
			if helo == l.helo {
				greeting = strings.Replace(greeting, " mech=", " mech=X-BETTER,", 1)
			}
			x.nonce = x.nonce[:24] + handshakeHash(helo, greeting)
			y.send(x.begin())
			s.tampered(y)
		}
	}),
	scramCase("changed-binding", "9.2", "a second step with another c= says that the handshake was changed", func(s *serverCase, l *link) {
		x := s.scramFor(l)
		s.challenged(l, x)
		l.send(strings.Replace(x.finish(), "c="+x.binds, "c="+base64.StdEncoding.EncodeToString([]byte("y,,")), 1))
		s.tampered(l)
	}),
	scramCase("downgrade", "9.2", "the flag y where -PLUS was listed says that the handshake was changed", func(s *serverCase, l *link) {
		if !offers(l, "SCRAM-SHA-256-PLUS") || !offers(l, "SCRAM-SHA-256") {
			s.skipf("the server does not offer both")
		}
		x := s.scramFor(l)
		x.mech, x.flag, x.binding = "SCRAM-SHA-256", "y", nil
		l.send(x.begin())
		s.tampered(l)
	}),
	scramCase("flags", "9.2", "the flag p= goes with -PLUS, and with nothing else", func(s *serverCase, l *link) {
		x := s.scramFor(l)
		for _, c := range []struct{ mech, flag string }{
			{"SCRAM-SHA-256", "p=tls-exporter"}, {"SCRAM-SHA-256", "p=tls-unique"}, {"SCRAM-SHA-256", "x"}, {"SCRAM-SHA-256", ""},
			{"SCRAM-SHA-256-PLUS", "n"}, {"SCRAM-SHA-256-PLUS", "y"}, {"SCRAM-SHA-256-PLUS", "p=tls-unique"},
		} {
			x.mech, x.flag = c.mech, c.flag
			l.send(x.begin())
			l.want("501")
		}
	}),
	scramCase("unlisted", "4.3", "a mechanism that the 220 did not list is answered 501", func(s *serverCase, l *link) {
		x := s.scramFor(l)
		for _, mech := range []string{"SCRAM-SHA-1", "SCRAM-SHA-512", "scram-sha-256", "SCRAM-SHA-256-PLUS"} {
			if !offers(l, mech) {
				x.mech = mech
				l.send(x.begin())
				l.want("501")
			}
		}
	}),
	scramCase("first-message", "9.2", "a client-first-message has four parts, without authorization identity and extensions, for the user= of the AUTH", func(s *serverCase, l *link) {
		x := s.scramFor(l)
		user := saslName(x.user)
		for _, data := range []string{
			"", "n", "n,,", x.flag + ",,n=" + user, x.flag + ",a=" + user + ",n=" + user + ",r=" + x.nonce,
			x.flag + ",,n=" + user + ",r=" + x.nonce + ",x=1", x.flag + ",,m=1,n=" + user + ",r=" + x.nonce,
			x.flag + ",,n=" + s.vars["nobody"] + ",r=" + x.nonce, x.flag + ",,n=" + user + "=20,r=" + x.nonce,
			x.flag + ",,n=" + user + ",r=", x.flag + ",,n=" + user + ",r=" + x.nonce[1:], x.flag + ",,n=" + user + ",r=" + x.nonce + "A",
			x.flag + ",,r=" + x.nonce + ",n=" + user,
		} {
			l.send("AUTH mech=" + x.mech + " user=" + escapeValue(x.user) + " data=" + escapeValue(data))
			l.want("501 !data")
		}
		s.challenged(l, x) // nothing of that harms
	}),
	scramCase("final-message", "9.2", "a second step that is no client-final-message is answered 501, and the login is over", func(s *serverCase, l *link) {
		x := s.scramFor(l)
		good := ""
		for i := range 5 {
			s.challenged(l, x)
			good = x.finish()
			l.send([]string{"AUTH data=", "AUTH data=e=other-error", "AUTH", good + ",x=1", strings.Replace(good, ",p=", ",q=", 1)}[i])
			l.want("501")
			l.send(good)
			l.want("501")
		}
	}),
	scramCase("second-first", "4.3", "data= that no first step awaits is answered 501", func(s *serverCase, l *link) {
		l.send("AUTH data=c=biws,r=x,p=x")
		l.want("501")
		l.send("AUTH user=" + s.vars["nobody"])
		if l.next(&l.replies, "an answer").frame.Code.String() == "331" {
			l.send("AUTH data=c=biws,r=x,p=x")
			l.want("501")
		}
	}),
	scramCase("second-with-origin", "4.3", "a second step with mech=, origin= or token= is answered 501", func(s *serverCase, l *link) {
		x := s.scramFor(l)
		for _, field := range []string{"mech=" + x.mech, "origin=a1", "token=ab"} {
			s.challenged(l, x)
			l.send(x.finish() + " " + field)
			l.want("501")
		}
	}),
	scramCase("abandoned", "9.2", "a 334 after which nothing came is no failed login", func(s *serverCase, l *link) {
		for range 3 {
			s.challenged(l, newScram(l, s.vars["nobody"], "wrong"))
		}
		x := newScram(l, s.vars["nobody"], "wrong")
		s.challenged(l, x)
		l.send(x.finish())
		l.want("535 left=2")
	}),
	scramCase("plain-hash", "9.2", "a failed exchange does not spoil the next login", func(s *serverCase, l *link) {
		x := newScram(l, s.vars["nobody"], "wrong")
		s.challenged(l, x)
		l.send(x.finish())
		l.want("535 left=2")
		x = s.scramFor(l)
		s.challenged(l, x)
		l.send(x.finish())
		if err := x.verify(l.want("230 data=*")); err != nil {
			s.failf("X: %v", err)
		}
		l.sync()
	}),
}

// tokenCases are about the token of a 230.
var tokenCases = []Case{
	{Name: "token/given", Section: "9.2", Rule: "a 230 to a login that named an origin has a token of 128 bits, new each time; others have none", server: func(s *serverCase) {
		var seen []string
		for range 2 {
			a := s.login("A", "origin=a1"+s.vars["hex"])
			token, ok := a.welcome.value("token")
			switch {
			case !ok:
				s.skipf("the server gives no tokens")
			case len(token) != 32 || !consistsOf(token, isHexDigit):
				s.failf("A: token=%s is not 128 bits in hexadecimal", token)
			case slices.Contains(seen, token):
				s.failf("A: the token came twice")
			}
			seen = append(seen, token)
			a.close()
		}
		if a := s.login("A", "origin=-"); a.welcome.has("token") {
			s.failf("A: a login without an origin gets a token: %s", quoted(a.welcome.line))
		}
	}},
	{Name: "token/proves-nothing", Section: "9.2", Rule: "a token, right or wrong, replaces no proof and spoils none", script: `
		A login origin=a1{hex} / token=@token
		A cut
		X helo
		X> AUTH user={A} origin=a1{hex} token={token}
		X< 331
		X> AUTH user={A} pass={A.pass} origin=a1{hex} token=00112233445566778899aabbccddeeff
		X< 230 new=0
		X sync`},
	{Name: "token/malformed", Section: "3.4", Rule: "a token that is not well-formed is answered 501", script: `
		X helo
		X> AUTH user={A} pass={A.pass} token=A_B
		X< 501
		X> AUTH user={A} pass={A.pass} token=
		X< 501`},
	{Name: "lockout/ten", Section: "9.2", Slow: true, Rule: "one connection may fail 10 logins", server: func(s *serverCase) {
		x := s.open("X")
		for i := range 10 {
			x.send(fmt.Sprintf("AUTH user=%s%d pass=a", s.vars["nobody"], i))
			x.want("535")
		}
		x.send("AUTH user=" + s.vars["noone"] + " pass=a")
		x.want("GBYE why=protocol")
		x.ended(s.opts.Patience)
	}},
}
