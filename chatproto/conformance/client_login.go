package conformance

import (
	"fmt"
	"strings"
	"time"
)

// clientFrameCases are about what a client has to read.
var clientFrameCases = []Case{
	{Name: "frame/bare-lf", Section: "3.3", Rule: "a bare LF ends a line", script: `
		login
		raw "MESG from=peer id={hex}.1 t=1 :peer: one\n"
		echo one
		accepted
		acked 1`},
	{Name: "frame/empty-description", Section: "3.3", Rule: "' :' at the end of a line is an empty description", script: `
		login
		raw "LIVE :\r\nPRES user=x on=1 :\r\n"
		message one
		echo one
		accepted`},
	{Name: "frame/origin-zeros", Section: "3.3", Rule: "the origin in id= may have leading zeros, and is the one without", script: `
		login
		raw "MESG from=peer id=00{hex}.1 t=1 :peer: one\r\n"
		echo one
		accepted
		raw "MESG from=peer id={hex}.1 t=1 :peer: one\r\n"
		acked 2
		quiet`},
	{Name: "frame/octet-by-octet", Section: "3.3", Rule: "frames do not depend on how the stream is cut", client: func(k *clientCase) {
		k.login()
		for _, c := range []byte("PRES user=x on=1 :x logged in\r\nMESG from=peer id=" + k.vars["hex"] + ".1 t=1 :peer: one\r\n") {
			k.v.raw(string([]byte{c}))
			k.sleep(time.Millisecond)
		}
		k.play("echo one\naccepted")
	}},
	{Name: "frame/one-segment", Section: "3.3", Rule: "a segment may hold many lines", client: func(k *clientCase) {
		k.login()
		var lines strings.Builder
		for n := 1; n <= 50; n++ {
			fmt.Fprintf(&lines, "MESG from=peer id=%s.%d t=1 :peer: %d\r\n", k.vars["hex"], n, n)
		}
		k.v.raw(lines.String())
		for n := 1; n <= 50; n++ {
			k.play(fmt.Sprintf("echo %d\naccepted", n))
		}
		k.play("acked 50")
	}},
	{Name: "frame/longest", Section: "3.1", Rule: "a line of 8,192 octets, its end included, is read", client: func(k *clientCase) {
		k.login()
		head := "MESG from=peer id=" + k.vars["hex"] + ".1 t=1 fill="
		tail := " :peer: one"
		k.v.raw(head + strings.Repeat("x", 8192-len(head)-len(tail)-2) + tail + "\r\n")
		k.play("echo one\naccepted")
	}},
	{Name: "frame/not-one", Section: "3.3", Should: true, Rule: "a client that receives a line that is no frame closes the connection", script: `
		login
		raw "mesg from=peer :peer: no\r\n"
		leaves`},
	{Name: "frame/escape-unknown", Section: "3.3", Should: true, Rule: "a client takes no other escapes", script: `
		login
		raw "MESG from=peer id={hex}.1 t=1 :peer: C:\\dir\r\n"
		leaves`},
	{Name: "frame/too-long", Section: "3.3", Should: true, Rule: "a client takes no line of more than 8,192 octets", script: `
		login
		raw "MESG from=peer id={hex}.1 t=1 :peer: {8192*x}\r\n"
		leaves`},
	{Name: "frame/rest", Section: "3.3", Rule: "what follows the last end of line is no line", script: `
		login
		message whole
		echo whole
		accepted
		acked 1
		raw "MESG from=peer id={hex}.2 t=1 :peer: cu"
		drop
		back
		message cut
		echo cut
		accepted`},
}

// clientHelloCases are about HELO.
var clientHelloCases = []Case{
	{Name: "helo/first", Section: "5.1", Rule: "HELO is the first request, and nothing follows before the greeting", script: `
		accept
		quiet`},
	{Name: "helo/versions", Section: "4.3", Rule: "HELO offers version 1", script: `
		accept
		greet`},
	{Name: "helo/other-version", Section: "4.3", Rule: "a client does not log in under a version that it did not offer", script: `
		accept
		> 220 v=60000 mech=PLAIN boot=b t=1
		quiet`},
	{Name: "helo/no-common-version", Section: "7.6", Rule: "after a 505 to HELO a client does not come back by itself", script: `
		login
		drop
		accept
		> 505 :No common protocol version
		drop
		away 1s`},
	{Name: "helo/refused", Section: "7.6", Rule: "after a 501 to HELO a client does not come back by itself", script: `
		login
		drop
		accept
		> 501
		drop
		away 1s`},
	{Name: "helo/events-before", Section: "5.1", Rule: "LIVE may come before the greeting", script: `
		accept
		> LIVE
		> LIVE
		greet
		welcome
		message one
		echo one
		accepted`},
	{Name: "helo/unavailable", Section: "4.7", Should: true, Rule: "421 may be the first frame; a client that was logged in comes back later", script: `
		login
		drop
		accept
		> 421 :Service not available
		drop
		back
		message one
		echo one
		accepted`},
}

// clientLoginCases are about AUTH.
var clientLoginCases = []Case{
	{Name: "auth/who", Section: "4.3", Rule: "AUTH names the account and its password", script: `
		login`},
	{Name: "auth/origin", Section: "6.2", Rule: "a client that numbers its messages draws an origin of 64 random bits", client: func(k *clientCase) {
		k.login()
		k.play("message one\necho one\naccepted")
		switch {
		case k.vars["n"] == "":
			k.skipf("the client does not number its messages")
		case k.v.origin == "":
			k.failf("the client numbers its messages, and its AUTH named no origin")
		case len(k.v.origin) < 10:
			k.failf("the origin %s is not random, or a random one is like that once in 16 million times", k.v.origin)
		}
	}},
	{Name: "auth/unknown-mechanism", Section: "11", Rule: "a client does not use a mechanism that it does not know, nor give its password for one", script: `
		accept
		> 220 v=1 mech=X-UNKNOWN boot=b t=1
		quiet`},
	{Name: "auth/mechanism-among-others", Section: "11", Rule: "unknown mechanisms are passed over", script: `
		accept
		greet mech=X-UNKNOWN-1,PLAIN,X-UNKNOWN-2
		welcome`},
	{Name: "auth/refused", Section: "7.6", Rule: "a 535 is final for the program: it does not try the same password again", script: `
		accept
		greet
		> 535 left=2 :Invalid Password. Please try again
		quiet
		drop
		away 1s`},
	{Name: "auth/refused-for-good", Section: "7.6", Rule: "after another 5xx to AUTH a client does not come back by itself", script: `
		accept
		greet
		> 505
		drop
		away 1s`},
	{Name: "auth/locked-out", Section: "7.6", Should: true, Rule: "a client does not come back before the retry= of a 450 has passed", script: `
		login
		drop
		accept
		greet
		> 450 retry=1200 :Please try again after 2 seconds.
		drop
		away 1100ms`},
	{Name: "auth/one-at-a-time", Section: "4.3", Rule: "nothing follows AUTH before its answer", script: `
		accept
		greet
		quiet
		welcome`},
	{Name: "auth/live-between", Section: "5.1", Rule: "LIVE may come between AUTH and its answer", script: `
		accept
		greet
		> LIVE
		welcome
		message one
		echo one
		accepted`},
	{Name: "auth/no-welcome", Section: "4.3", Rule: "the description of a 230 may be anything: a program does not act upon it", script: `
		accept
		greet
		> 230 user={user} new=1 known=0 high=0 mail=0 :221 You are not logged in
		message one
		echo one
		accepted`},
}

// clientPhaseCases are about what a server may not send.
var clientPhaseCases = []Case{
	{Name: "phase/event-too-early", Section: "5.2", Should: true, Rule: "a known event that has no place in the phase ends the connection", script: `
		accept
		> MESG from=peer id={hex}.1 t=1 :peer: early
		leaves`},
	{Name: "phase/reply-to-nothing", Section: "5.2", Should: true, Rule: "a reply that answers nothing ends the connection", script: `
		login
		quiet
		> 200 n=77
		leaves`},
	{Name: "phase/reply-to-another", Section: "5.2", Should: true, Rule: "a reply with another number than the one whose turn it is ends the connection", script: `
		login
		message one
		echo one
		> 201 n=4711 how=stored
		leaves`},
	{Name: "phase/wrong-reply", Section: "5.2", Should: true, Rule: "a reply with a code that does not answer the request ends the connection", client: func(k *clientCase) {
		k.play("login\nmessage one\necho one")
		k.v.send(k.answer("202"))
		k.play("leaves")
	}},
	{Name: "phase/order", Section: "5.2", Should: true, Rule: "replies that come out of order end the connection", client: func(k *clientCase) {
		k.play("login\nmessage one\nmessage two\necho one\necho two")
		if k.vars["n"] == "" {
			k.skipf("the client does not number its messages")
		}
		k.v.send(k.answer("201", "how=stored"))
		k.play("leaves")
	}},
}
