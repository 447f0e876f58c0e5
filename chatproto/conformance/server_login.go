package conformance

import (
	"fmt"
	"strings"
)

// helloCases are about HELO and 220.
var helloCases = []Case{
	{Name: "helo/220", Section: "4.3", Rule: "the 220 names the version, the mechanisms, the server's start and its clock", script: `
		X open
		X> HELO v=1
		X< 220 v=1 mech=* boot=* t=*`},
	{Name: "helo/highest-common", Section: "4.3", Rule: "the 220 names a version that the client offered", script: `
		X open
		X> HELO v=1,60000
		X< 220 v=1`},
	{Name: "helo/order-of-versions", Section: "4.3", Rule: "the versions may be offered in any order", script: `
		X open
		X> HELO v=60000,1,59999
		X< 220 v=1`},
	{Name: "helo/large-version", Section: "3.4", Rule: "a version is a number of up to 64 bits", script: `
		X open
		X> HELO v=1,18446744073709551615
		X< 220 v=1`},
	{Name: "helo/no-common-version", Section: "4.3", Rule: "without a common version the answer is 505, and closes", script: `
		X open
		X> HELO n=2 v=60000
		X< 505 n=2
		X end`},
	{Name: "helo/no-v", Section: "4.3", Rule: "HELO without v= is answered 501 and closes", script: `
		X open
		X> HELO acks=1
		X< 501
		X end`},
	{Name: "helo/bad-field", Section: "4.3", Rule: "HELO with a malformed field is answered 501 and closes", server: func(s *serverCase) {
		for _, f := range []string{"v=", "v=x", "v=01", "v=1,", "v=,1", "v=-1", "v=1 acks=2", "v=1 acks=", "v=1 acks=yes",
			"v=1 pres=2", "v=1 beat=0", "v=1 beat=x", "v=1 beat=-1", "v=1 beat=", "v=1 caps=", "v=1 caps=a,,b"} {
			x := s.dial("X")
			x.send("HELO " + f)
			x.want("501")
			x.ended(s.opts.Patience)
		}
	}},
	{Name: "helo/bad-capability", Section: "3.4", Rule: "a list has tokens of A-Z a-z 0-9 and - only", server: func(s *serverCase) {
		for _, caps := range []string{"a_b", "a.b", "\u00e9", `a\sb`} {
			x := s.dial("X")
			x.send("HELO v=1 caps=" + caps)
			x.want("501")
			x.ended(s.opts.Patience)
		}
	}},
	{Name: "helo/boot", Section: "4.3", Rule: "boot= is the same as long as the server runs", script: `
		X open
		X> HELO v=1
		X< 220 boot=@boot
		Y open
		Y> HELO v=1
		Y< 220 boot={boot}`},
	{Name: "helo/clock", Section: "4.3", Rule: "t= does not go back", server: func(s *serverCase) {
		last := uint64(0)
		for range 3 {
			t, _ := s.open("X").hello.frame.Uint("t")
			if t < last {
				s.failf("t=%d after t=%d", t, last)
			}
			last = t
		}
	}},
	{Name: "helo/description", Section: "4.3", Rule: "a description of HELO is no fault", script: `
		X open
		X> HELO v=1 :hello there
		X< 220 v=1`},
}

// loginCases are about AUTH and 230.
var loginCases = []Case{
	{Name: "auth/one-step", Section: "4.3", Rule: "a login in one step: a new session in a new origin, with the welcome", script: `
		X helo
		X> AUTH user={A} pass={A.pass} origin=1f2e9a{hex}
		X< 230 user={A} new=1 known=0 high=0 mail=0 !origin :Welcome to simple chat server!\nOffline Messages:\nNo offline messages
		X sync`},
	{Name: "auth/two-steps", Section: "4.3", Rule: "a login in two steps: the password is asked for", script: `
		X helo
		X> AUTH user={A} origin=1f2e9b{hex}
		X< 331
		X> AUTH pass={A.pass}
		X< 230 user={A} new=1 known=0 high=0 mail=0 !origin
		X sync`},
	{Name: "auth/331-sentence", Section: "4", Rule: "a 331 asks a person for the password", Should: true, script: `
		X helo
		X> AUTH user={nobody}
		X< 331 :Password:`},
	{Name: "auth/mech-plain", Section: "4.3", Rule: "mech=PLAIN is the default said aloud", script: `
		X helo
		X> AUTH mech=PLAIN user={A} pass={A.pass}
		X< 230 user={A}
		X sync`},
	{Name: "auth/drawn-origin", Section: "4.3", Rule: "a server draws an origin for a client that names none, another for each login", script: `
		A login origin=- / known=0 high=0 origin=@one
		A quit
		A2 login origin=- / known=0 high=0 origin=@two
		differ {one} {two}`},
	{Name: "auth/origin-zeros", Section: "3.3", Rule: "an origin with leading zeros is the one without", script: `
		A login origin=00ab{hex} / known=0
		A quit
		A2 login origin=ab{hex} / known=1 !origin`},
	{Name: "auth/starts-anew", Section: "4.3", Rule: "a step with user= starts anew and forgets what went before", script: `
		X helo
		X> AUTH user={nobody}
		X< 331
		X> AUTH user={A}
		X< 331
		X> AUTH pass={A.pass}
		X< 230 user={A}
		X sync`},
	{Name: "auth/try-again", Section: "4.3", Rule: "after a 535 the client may try again on the same connection", script: `
		X helo
		X> AUTH user={nobody} pass=wrong
		X< 535
		X> AUTH user={A} pass={A.pass}
		X< 230 user={A}
		X sync`},
	{Name: "auth/beat-cut", Section: "7.3", Rule: "a heartbeat above two thirds of the timeout is cut to that, and the 230 says so", server: func(s *serverCase) {
		a := s.login("A", "beat=86400000")
		beat, ok := a.welcome.frame.Uint("beat")
		if !ok || beat == 0 || beat > 1_000_000_000 {
			s.failf("A: beat= is missing or strange in %s", quoted(a.welcome.line))
		}
		if most := uint64(s.target.Timeout.Milliseconds()); beat > most*2/3 {
			s.failf("A: beat=%d is more than two thirds of a timeout of %d ms", beat, most)
		}
	}},
	{Name: "auth/beat-kept", Section: "7.3", Rule: "a heartbeat that is short enough is not changed", script: `
		A login beat=1500 / !beat`},
	{Name: "auth/other-user", Section: "4.3", Rule: "the 230 names the account", script: `
		A login / user={A}
		B login / user={B}`},
}

// badLoginCases are about steps that are refused.
var badLoginCases = []Case{
	{Name: "auth/pass-first", Section: "4.3", Rule: "a step that is neither a first one nor awaited is answered 501", script: `
		X helo
		X> AUTH pass={A.pass}
		X< 501
		X> AUTH
		X< 501`},
	{Name: "auth/second-step-mech", Section: "4.3", Rule: "mech= in a second step is answered 501, which forgets the first", script: `
		X helo
		X> AUTH user={A}
		X< 331
		X> AUTH mech=PLAIN pass={A.pass}
		X< 501
		X> AUTH pass={A.pass}
		X< 501`},
	{Name: "auth/second-step-origin", Section: "4.3", Rule: "origin= in a second step is answered 501, which forgets the first", script: `
		X helo
		X> AUTH user={A}
		X< 331
		X> AUTH origin=a1 pass={A.pass}
		X< 501
		X> AUTH pass={A.pass}
		X< 501`},
	{Name: "auth/second-step-empty", Section: "4.3", Rule: "a second step without a password is answered 501", script: `
		X helo
		X> AUTH user={A}
		X< 331
		X> AUTH
		X< 501`},
	{Name: "auth/unknown-mech", Section: "4.3", Rule: "a mechanism that the 220 did not name is answered 501", script: `
		X helo
		X> AUTH mech=X-UNKNOWN user={A} pass={A.pass}
		X< 501
		X> AUTH mech=plain user={A} pass={A.pass}
		X< 501`},
	{Name: "auth/bad-name", Section: "3.4", Rule: "in AUTH a name that is not well-formed is answered 501", server: func(s *serverCase) {
		x := s.open("X")
		for _, name := range []string{"", `a\sb`, `a\nb`, "\u200b", "a\u00a0b", "\ufeffa", strings.Repeat("x", 65)} {
			x.send("AUTH user=" + name + " pass=x")
			x.want("501")
		}
	}},
	{Name: "auth/bad-origin", Section: "3.4", Rule: "an origin that is not well-formed is answered 501", server: func(s *serverCase) {
		x := s.open("X")
		for _, origin := range []string{"", "0", "0000", "A1", "xyz", "-1", "12345678901234567", "0x1"} {
			x.send(fmt.Sprintf("AUTH user=%s pass=%s origin=%s", s.vars["A"], s.vars["A.pass"], origin))
			x.want("501")
		}
	}},
	{Name: "auth/bad-known", Section: "3.4", Rule: "known= that is no flag is answered 501", script: `
		X helo
		X> AUTH user={A} pass={A.pass} origin=a1 known=2
		X< 501
		X> AUTH user={A} pass={A.pass} known=
		X< 501`},
	{Name: "auth/empty-password", Section: "4.3", Rule: "an empty password is a password", script: `
		X helo
		X> AUTH user={nobody} pass=
		X< 535 left=2`},
	{Name: "auth/secret-password", Section: "9.2", Rule: "no answer repeats a password", server: func(s *serverCase) {
		x := s.open("X")
		secret := "secret-" + randomHex(6)
		for _, line := range []string{"AUTH user=" + s.vars["nobody"] + " pass=" + secret, "AUTH pass=" + secret,
			"AUTH mech=X-UNKNOWN user=x pass=" + secret, "AUTH user= pass=" + secret} {
			x.send(line)
			if h := x.next(&x.replies, "a refusal"); strings.Contains(h.line, secret) {
				s.failf("X: the password stands in %s", quoted(h.line))
			}
		}
	}},
}

// lockoutCases are about failed logins. They name only accounts that do not
// exist, whom that cannot harm.
var lockoutCases = []Case{
	{Name: "lockout/three", Section: "9.2", Rule: "failed logins are answered 535 left=2, 535 left=1 and 450, for a name that does not exist as for one that does", script: `
		X helo
		X> AUTH user={nobody} pass=a
		X< 535 left=2
		X> AUTH user={nobody} pass=b
		X< 535 left=1
		X> AUTH user={nobody} pass=c
		X< 450 retry=*
		X end`},
	{Name: "lockout/connections", Section: "9.2", Rule: "failed logins are counted by account and source, not by connection", script: `
		X helo
		X> AUTH user={nobody} pass=a
		X< 535 left=2
		X quit
		Y helo
		Y> AUTH user={nobody}
		Y< 331
		Y> AUTH pass=b
		Y< 535 left=1
		Y> AUTH user={noone} pass=b
		Y< 535 left=2
		Z helo
		Z> AUTH user={nobody} pass=c
		Z< 450
		Z end`},
	{Name: "lockout/lasts", Section: "9.2", Rule: "while an account is locked every attempt is answered 450 with the time that remains, and does not prolong it", server: func(s *serverCase) {
		x := s.open("X")
		for range 2 {
			x.send("AUTH user=" + s.vars["nobody"] + " pass=a")
			x.want("535")
		}
		x.send("AUTH user=" + s.vars["nobody"] + " pass=a")
		last, _ := x.want("450 retry=*").frame.Uint("retry")
		for range 3 {
			s.sleep(s.opts.Quiet / 10)
			y := s.open("Y")
			y.send("AUTH user=" + s.vars["nobody"] + " pass=a")
			left, _ := y.want("450 retry=*").frame.Uint("retry")
			if left > last || left == 0 {
				s.failf("Y: retry=%d after retry=%d", left, last)
			}
			last = left
		}
	}},
	{Name: "lockout/331", Section: "4.3", Rule: "the password is asked for, too, for a name that does not exist and for one that is locked out", script: `
		X helo
		X> AUTH user={nobody}
		X< 331
		X> AUTH user={nobody} pass=a
		X< 535 left=2
		X> AUTH user={nobody} pass=a
		X< 535 left=1
		X> AUTH user={nobody} pass=a
		X< 450
		Y helo
		Y> AUTH user={nobody}
		Y< 331
		Y> AUTH pass=a
		Y< 450`},
	{Name: "lockout/not-counted", Section: "9.2", Rule: "a 501, or a 331 after which no password came, is no failed login", script: `
		X helo
		X> AUTH user={nobody}
		X< 331
		X> AUTH user={nobody}
		X< 331
		X> AUTH mech=X-UNKNOWN user={nobody} pass=a
		X< 501
		X> AUTH user={nobody} pass=a origin=0
		X< 501
		X> AUTH user={nobody} pass=a
		X< 535 left=2`},
	{Name: "lockout/sentence", Section: "4", Rule: "a 450 tells a person how long to wait", Should: true, server: func(s *serverCase) {
		x := s.open("X")
		for range 2 {
			x.send("AUTH user=" + s.vars["nobody"] + " pass=a")
			x.want("535 :Invalid Password. Please try again")
		}
		x.send("AUTH user=" + s.vars["nobody"] + " pass=a")
		h := x.want("450")
		retry, _ := h.frame.Uint("retry")
		want := fmt.Sprintf("Due to multiple login failures, your account has been blocked. Please try again after %d seconds.", (retry+999)/1000)
		if h.text != want {
			s.failf("X: got %s; wanted %s", quoted(h.text), quoted(want))
		}
	}},
	{Name: "lockout/ends", Section: "9.2", Slow: true, Rule: "after the lockout the count starts at 0", server: func(s *serverCase) {
		x := s.open("X")
		for range 2 {
			x.send("AUTH user=" + s.vars["nobody"] + " pass=a")
			x.want("535")
		}
		x.send("AUTH user=" + s.vars["nobody"] + " pass=a")
		s.sleepFor(x.want("450 retry=*"), "retry")
		y := s.open("Y")
		y.send("AUTH user=" + s.vars["nobody"] + " pass=a")
		y.want("535 left=2")
	}},
}
