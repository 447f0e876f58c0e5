package conformance

import (
	"fmt"
	"strings"
)

// clientReceiveCases are about what is shown, and what is dropped.
var clientReceiveCases = []Case{
	{Name: "receive/again", Section: "6.5", Rule: "a delivery whose number was shown is dropped, and counted as taken", script: `
		login
		message one
		echo one
		accepted
		> MESG from=peer id={hex}.1 t=1 :peer: one
		acked 2
		quiet`},
	{Name: "receive/lower", Section: "6.5", Rule: "a delivery whose number is below one that was shown is dropped", script: `
		login
		> MESG from=peer id={hex}.5 t=1 :peer: five
		echo five
		accepted
		> MESG from=peer id={hex}.4 t=1 :peer: four
		acked 2
		quiet`},
	{Name: "receive/gap", Section: "6.5", Rule: "numbers may have gaps", script: `
		login
		> MESG from=peer id={hex}.5 t=1 :peer: five
		echo five
		accepted
		> MESG from=peer id={hex}.500 t=1 :peer: more
		echo more
		accepted
		> MESG from=peer id={hex}.18446744073709551615 t=1 :peer: the last
		echo the last
		accepted
		acked 3`},
	{Name: "receive/other-sender", Section: "6.6", Rule: "numbers of different senders are independent, even in equal origins", script: `
		login
		> MESG from=peer id={hex}.1 t=1 :peer: one
		echo one
		accepted
		> MESG from=other id={hex}.1 t=1 :other: one
		< SEND to=other :one
		accepted
		acked 2`},
	{Name: "receive/other-origin", Section: "6.6", Rule: "numbers of different origins of one sender are independent", script: `
		login
		> MESG from=peer id={hex}.9 t=1 :peer: nine
		echo nine
		accepted
		> MESG from=peer id={hex}a.1 t=1 :peer: one
		echo one
		accepted
		acked 2`},
	{Name: "receive/after-reconnect", Section: "6.5", Rule: "what was shown is not shown again on another connection, and is acknowledged there", script: `
		login
		message one
		echo one
		accepted
		acked 1
		drop
		back mail=2
		> MESG from=peer id={hex}.1 t=1 :peer: one
		> MESG from=peer id={hex}.2 t=1 :peer: two
		echo two
		accepted
		acked 2
		quiet`},
	{Name: "receive/cast-and-message", Section: "6.5", Rule: "broadcasts and messages of a sender share their numbers", script: `
		login
		> BCST from=peer id={hex}.2 t=1 :peer: psa
		> MESG from=peer id={hex}.1 t=1 :peer: old
		> MESG from=peer id={hex}.3 t=1 :peer: new
		echo new
		accepted
		acked 3
		quiet`},
	{Name: "receive/mail", Section: "7.5", Rule: "mail is shown as any message is", script: `
		login mail=2
		message one
		message two
		echo one
		accepted
		echo two
		accepted
		acked 2`},
	{Name: "receive/fewer-than-mail", Section: "7.5", Rule: "events may stand between the mail", script: `
		login mail=2
		message one
		> PRES user=x on=1 :x logged in
		> LIVE
		message two
		echo one
		accepted
		echo two
		accepted`},
}

// clientAckCases are about ACKD.
var clientAckCases = []Case{
	{Name: "ackd/soon", Section: "6.5", Should: true, Rule: "a client acknowledges when nothing more waits to be shown", script: `
		login
		message one
		echo one
		acked 1
		accepted
		message two
		echo two
		acked 2
		accepted`},
	{Name: "ackd/burst", Section: "6.5", Should: true, Rule: "a client acknowledges a burst of 256, so that more can come", client: func(k *clientCase) {
		k.login()
		for n := 1; n <= 256; n++ {
			k.v.send(fmt.Sprintf("BCST from=peer id=b%s.%d t=1 :peer: %d", k.vars["hex"], n, n))
		}
		k.play("acked 256")
		for n := 257; n <= 300; n++ {
			k.v.send(fmt.Sprintf("BCST from=peer id=b%s.%d t=1 :peer: %d", k.vars["hex"], n, n))
		}
		k.play("acked 300")
	}},
	{Name: "ackd/counts-from-1", Section: "6.5", Rule: "deliveries are counted from 1 on each connection", script: `
		login
		message one
		message two
		echo one
		accepted
		echo two
		accepted
		acked 2
		drop
		back
		message three
		echo three
		accepted
		acked 1`},
	{Name: "ackd/unknown-delivery", Section: "11", Rule: "an unknown event with id= counts as a delivery, and is acknowledged unseen", script: `
		login
		> ROOM from=peer id={hex}.1 t=1 :peer: in a room
		message two
		echo two
		accepted
		acked 2
		quiet`},
	{Name: "ackd/not-others", Section: "6.5", Rule: "an event without id= does not count", script: `
		login
		> PRES user=x on=1 :x logged in
		> ROOM user=x
		> RQST user=x :x is requesting a private chat
		message one
		echo one
		accepted
		acked 1
		quiet`},
	{Name: "ackd/large", Section: "6.5", Rule: "a client takes 1,048,576 octets of deliveries", client: func(k *clientCase) {
		k.login()
		text := strings.Repeat("x", 7000)
		for n := 1; n <= 148; n++ {
			k.v.send(fmt.Sprintf("BCST from=peer id=b%s.%d t=1 :peer: %s", k.vars["hex"], n, text))
		}
		k.play("acked 148\nmessage one\necho one\naccepted")
	}},
}

// clientOriginCases are about a server that does not know a client as it was.
var clientOriginCases = []Case{
	{Name: "origin/same", Section: "6.2", Rule: "a client keeps its origin over reconnects", script: `
		login
		drop
		back
		message one
		echo one
		accepted`},
	{Name: "origin/known-first", Section: "6.6", Rule: "known=1 is normal for a client that has not had a 230: that one was lost", script: `
		login known=1
		message one
		echo one
		accepted`},
	{Name: "origin/forgotten", Section: "6.6", Rule: "a client that reads known=0 for an origin that had a 230 resends nothing and goes on with a new origin on a new connection", client: func(k *clientCase) {
		k.play("login\nmessage one\necho one\nacked 1")
		k.needOrigin()
		old := k.v.origin
		k.v.drop()
		k.returned("known=0 new=1 high=0 origin=d" + k.vars["hex"])
		k.begunAnew(old)
	}},
	{Name: "origin/high", Section: "6.6", Rule: "a client that reads high= above what it sent resends nothing and goes on with a new origin", client: func(k *clientCase) {
		k.play("login\nmessage one\necho one\nacked 1")
		k.needOrigin()
		old := k.v.origin
		k.v.drop()
		k.returned("known=1 new=0 high=1000000")
		k.begunAnew(old)
	}},
	{Name: "origin/drawn", Section: "6.6", Rule: "a client does not log in with an origin that the server drew", client: func(k *clientCase) {
		k.accept()
		k.hello()
		k.greet()
		k.authenticate()
		if k.v.origin != "" {
			k.skipf("the client draws its own")
		}
		k.welcome("origin=d" + k.vars["hex"])
		k.v.drop()
		k.accept()
		k.hello()
		k.greet()
		k.authenticate()
		if k.v.origin == "d"+k.vars["hex"] {
			k.failf("the client logs in with the origin that the server drew")
		}
		k.welcome()
	}},
}

// needOrigin skips a case that is about origins.
func (k *clientCase) needOrigin() {
	if k.v.origin == "" || k.vars["n"] == "" {
		k.skipf("the client has no origin, or does not number its messages")
	}
}

// returned takes the client in again, with a 230 that has these fields.
func (k *clientCase) returned(fields string) {
	k.accept()
	k.hello()
	k.greet()
	k.authenticate()
	k.welcome(strings.Fields(fields)...)
}

// begunAnew expects the client, which was just told that its origin is of no
// use, to begin with another, and not to send again what was unanswered.
func (k *clientCase) begunAnew(old string) {
	if !k.v.await(k.opts.Patience, func() bool { return k.v.over || k.v.quit || len(k.v.requests) > 0 }) {
		k.failf("the client goes on with the origin %s", old)
	}
	if k.v.quit {
		k.want("QUIT")
		k.v.send(k.answer("221"))
	}
	k.v.nothing()
	k.returned("known=0 new=1 high=0")
	if k.v.origin == old {
		k.failf("the client comes back with the same origin, %s", old)
	}
	k.play("quiet\nmessage two\necho two\naccepted")
	if n := k.vars["n"]; n != "1" && k.v.last > 100 {
		k.failf("the numbers of a new origin begin at n=%s", n)
	}
}
