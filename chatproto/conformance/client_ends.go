package conformance

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// clientSessionCases are about sessions that go on.
var clientSessionCases = []Case{
	{Name: "session/goes-on", Section: "7.1", Rule: "a client whose session goes on (new=0) goes on", script: `
		login
		message one
		echo one
		accepted
		drop
		back
		message two
		echo two
		accepted`},
	{Name: "session/ended-meanwhile", Section: "7.1", Rule: "a client whose session ended meanwhile (new=1) goes on with its origin", script: `
		login
		message one
		echo one
		acked 1
		drop
		back new=1
		echo one
		accepted
		message two
		echo two
		accepted`},
	{Name: "session/another-boot", Section: "4.3", Rule: "a client goes on with a server that was started again", script: `
		login
		message one
		echo one
		acked 1
		drop
		accept
		greet boot=another
		welcome new=0 known=1 high={n}
		echo one
		accepted`},
}

// clientBeatCases are about silence.
var clientBeatCases = []Case{
	{Name: "beat/client", Section: "7.3", Rule: "a client is not silent for longer than the heartbeat that the 230 asks for", client: func(k *clientCase) {
		k.accept()
		k.hello()
		if !k.v.helo.has("beat") {
			k.skipf("the client promises no heartbeat")
		}
		k.greet()
		k.authenticate()
		begun := time.Now()
		k.welcome("beat=1000")
		// Between two LIVEs that come can be less time than between their
		// going out; since the first could go out there cannot.
		for n := time.Duration(1); n <= 3; n++ {
			seen := k.v.lives
			if wait := time.Second + k.opts.Patience/2; !k.v.await(wait, func() bool { return k.v.lives > seen }) {
				k.failf("the client is silent for %v, though beat=1000", wait)
			}
			if since := time.Since(begun); since < n*50*time.Millisecond {
				k.failf("the client says %d times LIVE in %v, though beat=1000", n, since)
			}
			k.v.send("LIVE")
		}
	}},
	{Name: "beat/unanswered", Section: "4.7", Rule: "LIVE is not answered", script: `
		login
		> LIVE
		> LIVE
		quiet`},
	{Name: "beat/dead", Section: "7.3", Should: true, Rule: "a client to which nothing came for 1.5 heartbeats takes the connection for dead, and reconnects", client: func(k *clientCase) {
		k.accept()
		k.hello()
		if !k.v.helo.has("beat") {
			k.skipf("the client promises no heartbeat")
		}
		k.greet()
		k.authenticate()
		begun := time.Now()
		k.welcome("beat=1000")
		if !k.v.await(3*time.Second+k.opts.Patience, func() bool { return k.v.over }) {
			k.failf("the client has not closed the connection after %v of silence, though beat=1000", time.Since(begun).Round(time.Second))
		}
		if lasted := time.Since(begun); lasted < 1400*time.Millisecond {
			k.failf("the client closed the connection after %v of silence, though beat=1000", lasted)
		}
		k.back()
	}},
	{Name: "beat/own", Section: "7.3", Slow: true, Rule: "a client is not silent for longer than its own heartbeat", client: func(k *clientCase) {
		k.accept()
		k.hello()
		beat, ok := k.v.helo.frame.Uint("beat")
		if !ok || beat > 120_000 {
			k.skipf("the client promises no heartbeat, or one of more than two minutes")
		}
		k.greet()
		k.authenticate()
		k.welcome()
		d := time.Duration(beat) * time.Millisecond
		for range 2 {
			k.v.send("LIVE")
			seen := k.v.lives
			if !k.v.await(d+2*time.Second, func() bool { return k.v.lives > seen }) {
				k.failf("the client is silent for %v, though it promised beat=%d", d+2*time.Second, beat)
			}
		}
	}},
}

// clientReturnCases are about coming back, or not.
var clientReturnCases = []Case{
	{Name: "return/lost", Section: "7.6", Should: true, Rule: "a client that lost its connection reconnects", script: `
		login
		drop
		back`},
	{Name: "return/shutdown", Section: "7.6", Should: true, Rule: "a client reconnects after GBYE why=shutdown", script: `
		login
		> GBYE why=shutdown :The server is shutting down
		returns`},
	{Name: "return/unknown-why", Section: "11", Should: true, Rule: "an unknown why= of GBYE is as if absent", script: `
		login
		> GBYE why=x-unknown
		returns`},
	{Name: "return/retry", Section: "7.6", Should: true, Rule: "a client does not come back before the retry= of a GBYE has passed", script: `
		login
		> GBYE why=shutdown retry=1200 :Back in a moment
		away 1100ms`},
	{Name: "return/retry-421", Section: "7.6", Should: true, Rule: "a client does not come back before the retry= of a 421 has passed", script: `
		login
		> 421 retry=1200
		away 1100ms`},
	{Name: "return/replaced", Section: "7.6", Rule: "a client does not come back by itself after GBYE why=replaced", script: `
		login
		> GBYE why=replaced :You logged in elsewhere
		away 1s`},
	{Name: "return/removed", Section: "7.6", Rule: "a client does not come back by itself after GBYE why=removed", script: `
		login
		> GBYE why=removed :Your account was removed
		away 1s`},
	{Name: "return/refused", Section: "7.6", Rule: "a client whose login is refused when it comes back does not try again by itself", script: `
		login
		drop
		accept
		greet
		> 535 :Your account was closed
		drop
		away 1s`},
	{Name: "return/changed", Section: "7.6", Should: true, Rule: "a client that was logged in comes back after a 501 to AUTH: somebody changed the handshake", script: `
		login
		drop
		accept
		greet
		> 501 :The handshake was changed on the way
		> GBYE why=protocol
		returns`},
	{Name: "return/closes", Section: "5.3", Rule: "a client that reads GBYE closes", script: `
		login
		> GBYE why=removed
		leaves`},
	{Name: "return/closes-421", Section: "5.3", Rule: "a client that reads 421 closes", script: `
		login
		> 421
		leaves`},
	{Name: "return/unanswered", Section: "5.3", Rule: "what is unanswered at a GBYE is sent again on the next connection", script: `
		login
		message one
		echo one
		acked 1
		> GBYE why=shutdown
		back
		echo one
		accepted`},
}

// clientEndCases are about leaving.
var clientEndCases = []Case{
	{Name: "quit/acknowledges-first", Section: "5.3", Rule: "a client that leaves acknowledges what it has taken, says QUIT, and sends nothing after it", client: func(k *clientCase) {
		k.play("login\nmessage one\necho one\naccepted")
		k.command("!quit", "QUIT")
		if k.v.acks && k.v.acked < 1 {
			k.failf("the client said QUIT before it acknowledged what it has shown")
		}
		k.v.send("PRES user=x on=1 :x logged in")
		k.play("quiet")
		k.v.send(k.answer("221"))
		k.play("leaves\naway 1s")
	}},
	{Name: "quit/waits-for-answers", Section: "5.3", Rule: "a client that has said QUIT takes replies until 221", client: func(k *clientCase) {
		k.play("login\nmessage one\necho one")
		first := k.answer("201", "how=stored")
		k.command("!quit", "QUIT")
		if k.v.await(k.opts.Quiet, func() bool { return k.v.over }) {
			k.failf("the client closed the connection before the 221")
		}
		k.v.send(first)
		k.v.send(k.answer("221"))
		k.play("leaves")
	}},
}

// command tells the client to do something, and expects the request; a client
// that does not know the command echoes it, and the case is skipped.
func (k *clientCase) command(text, request string) *heard {
	k.message(text)
	h := k.v.next(request)
	k.vars["n"], _ = h.value("n")
	if h.frame.Code.String() == "SEND" && h.text == text {
		k.v.send(k.answer("201", "how=stored"))
		k.skipf("the client does not know %s", strings.Fields(text)[0])
	}
	if !parsePattern(request).match(h, k.vars) {
		k.failf("the client sent %s; wanted %s", quoted(h.line), request)
	}
	return h
}

// clientListCases are about ONLN.
var clientListCases = []Case{
	{Name: "online/more", Section: "4.5", Rule: "a list that says more= is asked for again with after=", client: func(k *clientCase) {
		k.login()
		k.lists()
		k.command("!online", "ONLN !after")
		for _, name := range []string{"ann", "bob"} {
			k.v.send(k.answer("111", "user="+name, ":"+name))
		}
		k.v.send(k.answer("211", "more=bob"))
		k.want("ONLN after=bob")
		k.v.send(k.answer("111", "user=cid", ":cid"))
		k.v.send(k.answer("211"))
		k.play("message one\necho one\naccepted")
	}},
	{Name: "online/events-between", Section: "5.2", Rule: "events may stand between the entries of a list", client: func(k *clientCase) {
		k.login()
		k.lists()
		k.command("!online", "ONLN")
		k.v.send(k.answer("111", "user=ann", ":ann"))
		k.v.send("PRES user=x on=1 :x logged in")
		k.message("one")
		k.v.send(k.answer("111", "user=bob", ":bob"))
		k.v.send("LIVE")
		k.v.send(k.answer("211"))
		k.play("echo one\naccepted")
	}},
	{Name: "online/unknown-entries", Section: "11", Rule: "an unknown 1xx among the entries is ignored", client: func(k *clientCase) {
		k.login()
		k.lists()
		k.command("!online", "ONLN")
		k.v.send(k.answer("111", "user=ann", ":ann"))
		k.v.send(k.answer("119", "room=lobby"))
		k.v.send(k.answer("211"))
		k.play("message one\necho one\naccepted")
	}},
	{Name: "online/not-resent", Section: "6.2", Rule: "a request that is no message is not sent again under its number", client: func(k *clientCase) {
		k.login()
		k.lists()
		n := k.command("!online", "ONLN").lo
		k.play("drop\nback")
		if k.v.await(k.opts.Quiet, func() bool { return len(k.v.requests) > 0 }) {
			if h := k.want("ONLN"); h.lo == n && n > 0 {
				k.failf("the client asks again under the number %d", n)
			}
			k.v.send(k.answer("211"))
		}
	}},
	{Name: "block/asks", Section: "4.5", Rule: "a block is a BLOK", client: func(k *clientCase) {
		k.login()
		k.command("!block mallory", "BLOK user=mallory")
		k.v.send(k.answer("200", ":User mallory has been blocked"))
		k.play("message one\necho one\naccepted")
	}},
}

// lists keeps ONLN for the case.
func (k *clientCase) lists() {
	k.v.mu.Lock()
	defer k.v.mu.Unlock()
	k.memory.lists = true
}

// clientConsentCases are about consent, as far as it is seen at the server.
var clientConsentCases = []Case{
	{Name: "consent/asks", Section: "4.6", Rule: "to ask for an address is ADDR", client: func(k *clientCase) {
		k.login()
		k.command("!ask bob", "ADDR user=bob")
		k.v.send(k.answer("202"))
		k.play("message one\necho one\naccepted")
	}},
	{Name: "consent/gives", Section: "4.6", Rule: "to consent is CNST", client: func(k *clientCase) {
		k.login()
		k.v.send("RQST user=ann :ann is requesting a private chat. To share your IP and port with them, reply saying 'consent ann'")
		k.command("!consent ann", "CNST user=ann")
		k.v.send(k.answer("554"))
		k.play("message one\necho one\naccepted")
	}},
	{Name: "consent/not-by-itself", Section: "8.1", Rule: "an address is given out only after its owner has consented", script: `
		login
		> RQST user=ann :ann is requesting a private chat
		quiet
		message one
		echo one
		accepted`},
	{Name: "consent/revoked-unknown", Section: "8.3", Rule: "RVKD about a consent that the client does not know of is ignored, and an unknown why= is gone", script: `
		login
		> RVKD user=ann owner=ann why=gone
		> RVKD user=ann owner={user} why=x-unknown
		message one
		echo one
		accepted`},
}

// clientExtensionCases are about what a client does not know.
var clientExtensionCases = []Case{
	{Name: "extension/event", Section: "11", Rule: "an unknown event is ignored, in every phase", script: `
		accept
		> ROOM name=x :before the greeting
		greet
		> ROOM name=x :before the login
		welcome
		> ROOM name=x :after it
		message one
		> TYPE user=peer
		echo one
		> TYPE user=peer
		accepted
		message two
		echo two
		accepted
		acked 2`},
	{Name: "extension/field", Section: "11", Rule: "an unknown field is ignored, wherever it stands", client: func(k *clientCase) {
		x := func(line string) string {
			words := strings.SplitN(line, " ", 3)
			words = slices.Insert(words, 1, `x-first=what\sis\nthis`)
			return strings.Join(words, " ")
		}
		k.accept()
		k.hello()
		k.v.send(x("220 v=1 mech=PLAIN x-mid= boot=b t=1 x-last=1"))
		k.authenticate()
		k.v.send(x("230 user=" + k.vars["user"] + " new=1 known=0 x-mid=1 high=0 mail=0 x-last=1 :Welcome"))
		k.v.send(x("PRES user=x on=1 x-last=1 :x logged in"))
		k.v.send(x(fmt.Sprintf("MESG from=peer id=%s.1 x-mid=1 t=1 x-last=1 :peer: one", k.vars["hex"])))
		k.play("echo one")
		k.v.send(k.answer("201", "x-mid=1", "how=stored", "x-last=2"))
		k.v.send(x("LIVE x-last=1"))
		k.v.send(x("GBYE why=removed x-last=1"))
		k.play("leaves")
	}},
	{Name: "extension/field-order", Section: "3.1", Rule: "the order of fields has no meaning", client: func(k *clientCase) {
		k.accept()
		k.hello()
		k.v.send("220 t=1 boot=b mech=PLAIN v=1")
		k.authenticate()
		k.v.send("230 mail=0 high=0 known=0 new=1 user=" + k.vars["user"])
		k.v.send(fmt.Sprintf("MESG t=1 id=%s.1 from=peer :peer: one", k.vars["hex"]))
		k.play("echo one")
		if n := k.vars["n"]; n != "" {
			k.v.send("201 how=stored n=" + n)
		} else {
			k.v.send("201 how=stored")
		}
	}},
	{Name: "extension/capability", Section: "11", Rule: "an unknown capability of the server is not used", script: `
		accept
		greet caps=x-unknown-1,x-unknown-2
		welcome
		message one
		echo one
		accepted`},
	{Name: "extension/step", Section: "11", Rule: "an unknown 3xx in a login is one that the client cannot follow: it gives the login up", script: `
		accept
		greet
		> 399 question=x
		quiet`},
	{Name: "extension/refused-login", Section: "11", Rule: "an unknown 5xx refuses a login for good", script: `
		accept
		greet
		> 599
		drop
		away 1s`},
	{Name: "extension/refused-for-now", Section: "11", Should: true, Rule: "an unknown 4xx refuses a login for now", script: `
		login
		drop
		accept
		greet
		> 499
		drop
		accept`},
}
