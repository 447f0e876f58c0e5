package conformance

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/parleyproto/parley/chatproto"
)

// A script for a client has one connection at a time, the client's latest:
//
//	login [key=value…]     accepts a connection, answers HELO with 220 and AUTH with
//	                       230, whose fields are changed
//	accept                 accepts a connection and expects HELO
//	greet [key=value…]     answers HELO, expects AUTH
//	welcome [key=value…]   answers AUTH with 230
//	back [key=value…]      as login, of the same client after a lost connection: its
//	                       origin is the same, its session goes on
//	> line                 sends a line
//	raw "octets"           sends octets as they are, in Go's quotes
//	< pattern              expects a request; those of a heartbeat, ACKD and LSTN are
//	                       dealt with elsewhere
//	message text           sends a message from peer, the next one
//	echo text              expects it back, and keeps its number as {n}
//	accepted               answers the last one 201
//	acked 3                waits until three deliveries are acknowledged
//	quiet                  expects no request for a while
//	drop                   cuts the connection off
//	leaves                 expects the client to close the connection
//	returns                expects it to close the connection and to connect again
//	away 1s                expects it not to connect for so long
//	wait 2s                waits
//
// {user} is whom the client logs in as, {origin} its origin, {n} the number
// of its last message; see also serverCase.play.
func (k *clientCase) play(script string) {
	for line := range strings.Lines(script) {
		line = strings.TrimSpace(expand(line, k.vars))
		if line == "" {
			continue
		}
		what, rest, _ := strings.Cut(line, " ")
		k.act(what, rest, line)
	}
}

func (k *clientCase) act(what, rest, line string) {
	fields := strings.Fields(rest)
	switch what {
	case "login":
		k.login(fields...)
	case "accept":
		k.accept()
		k.hello()
	case "greet":
		k.greet(fields...)
		k.authenticate()
	case "welcome":
		k.welcome(fields...)
	case "back":
		k.back(fields...)
	case ">":
		k.v.send(rest)
	case "raw":
		octets, err := strconv.Unquote(rest)
		k.must(err, line)
		k.v.raw(octets)
	case "<":
		k.want(rest)
	case "message":
		k.message(rest)
	case "echo":
		k.echo(rest)
	case "accepted":
		k.v.send(k.answer("201", "how=stored"))
	case "acked":
		n, err := strconv.Atoi(rest)
		k.must(err, line)
		k.v.skipIfSerial()
		k.v.acknowledged(uint64(n))
	case "quiet":
		k.quiet()
		k.v.await(0, func() bool { return true })
		k.v.nothing()
	case "drop":
		k.v.drop()
	case "leaves":
		if !k.v.await(k.opts.Patience, func() bool { return k.v.over }) {
			k.failf("the client does not close the connection")
		}
	case "returns":
		k.accept()
		k.hello()
	case "away", "wait":
		d, err := time.ParseDuration(rest)
		k.must(err, line)
		if what == "away" {
			k.away(d)
		} else {
			k.sleep(d)
		}
	default:
		panic("conformance: bad line in a script: " + line)
	}
}

func (k *clientCase) must(err error, line string) {
	if err != nil {
		panic("conformance: bad line in a script: " + line + ": " + err.Error())
	}
}

// login takes the client in.
func (k *clientCase) login(fields ...string) {
	for range 3 {
		k.accept()
		k.hello()
		k.greet()
		k.authenticate()
		if !k.suite.welcomed[k.v.origin] {
			break
		}
		// It is left from an earlier case: a server that has forgotten its
		// origin makes it begin anew (section 6.6).
		k.welcome("known=0", "origin=d"+k.vars["hex"])
	}
	k.welcome(fields...)
}

// want is visit.want, and keeps the request's number as {n}.
func (k *clientCase) want(pattern string) *heard {
	h := k.v.want(pattern)
	if code := h.frame.Code; code != chatproto.HELO && code != chatproto.AUTH {
		k.vars["n"], _ = h.value("n")
	}
	return h
}

// hello waits for HELO. A connection that ends before it was given up by the
// client of an earlier case.
func (k *clientCase) hello() {
	for range 3 {
		if k.v.await(k.opts.Patience, func() bool { return k.v.helo != nil }) || !k.v.broken() {
			break
		}
		k.accept()
	}
	h := k.want("HELO")
	if v, _ := h.value("v"); !slices.Contains(strings.Split(v, ","), "1") {
		k.failf("the client does not offer version 1: %s", quoted(h.line))
	}
}

// greet answers HELO.
func (k *clientCase) greet(fields ...string) {
	k.v.send("220" + settings("v=1 mech=PLAIN boot="+k.boot()+" t="+now(), fields))
}

// boot is the server's, of this case.
func (k *clientCase) boot() string { return k.vars["hex"] }

func now() string { return strconv.FormatInt(time.Now().UnixMilli(), 10) }

// authenticate waits for a login, in one step or two, and checks who it is.
func (k *clientCase) authenticate() {
	h := k.want("AUTH")
	if _, has := h.value("pass"); !has {
		k.noteOrigin(h)
		k.v.send("331 :Password:")
		second := k.want("AUTH pass=*")
		if second.frame.Value("pass") != k.suite.target.Account.Password {
			k.failf("the client gives another password")
		}
	} else {
		k.noteOrigin(h)
		if h.frame.Value("pass") != k.suite.target.Account.Password {
			k.failf("the client gives another password")
		}
	}
	if user := h.frame.Value("user"); user != k.suite.target.Account.User {
		k.failf("the client logs in as %s; wanted %s", quoted(user), quoted(k.suite.target.Account.User))
	}
}

func (k *clientCase) noteOrigin(h *heard) {
	k.v.mu.Lock()
	defer k.v.mu.Unlock()
	k.v.origin, _ = h.value("origin")
	k.vars["origin"] = k.v.origin
	if k.suite.welcomed[k.v.origin] && h.frame.Value("known") != "1" {
		k.v.blame("the client has had a 230 for its origin and does not say known=1 (section 6.6): %s", quoted(h.line))
	}
}

// welcome answers AUTH.
func (k *clientCase) welcome(fields ...string) {
	if k.v.origin != "" {
		k.suite.welcomed[k.v.origin] = true
	}
	line := settings("user="+k.vars["user"]+" new=1 known=0 high=0 mail=0", fields)
	if !strings.Contains(line, " new=0") {
		line += ` :Welcome to simple chat server!\nOffline Messages:`
		if strings.Contains(line, " mail=0") {
			line += `\nNo offline messages`
		}
	}
	k.v.send("230" + line)
}

// back takes the client in again after its connection was lost, as the server
// of before. high= is what it sent, unless fields say otherwise.
func (k *clientCase) back(fields ...string) {
	before := k.vars["origin"]
	high := k.v.high(before)
	if before == "" {
		k.skipf("the client has no origin that it could come back with")
	}
	k.accept()
	k.hello()
	k.greet()
	k.authenticate()
	if k.v.origin != before {
		if k.suite.target.Start == nil {
			k.skipf("it was not the same client that came back")
		}
		k.failf("the client came back with another origin (section 6.2): %s, before it was %s", k.v.origin, before)
	}
	k.welcome(append([]string{"new=0", "known=1", fmt.Sprintf("high=%d", high)}, fields...)...)
}

// message sends the next message of the user peer. Its origin is the case's.
func (k *clientCase) message(text string) {
	n, _ := strconv.Atoi(k.vars["sent"])
	k.vars["sent"] = strconv.Itoa(n + 1)
	line := fmt.Sprintf("MESG from=peer id=%s.%d t=%s :peer:", k.vars["hex"], n+1, now())
	if text != "" {
		line += " " + text
	}
	k.v.send(line)
}

// echo waits until a message is sent back.
func (k *clientCase) echo(text string) {
	k.v.skipIfSerial()
	h := k.want("SEND to=peer")
	if h.text != text {
		k.failf("the client sent %s; wanted it to echo the text %s", quoted(h.line), quoted(text))
	}
}

// answer is a reply to the last request.
func (k *clientCase) answer(code string, fields ...string) string {
	if k.vars["n"] != "" {
		code += " n=" + k.vars["n"]
	}
	return strings.Join(append([]string{code}, fields...), " ")
}

// settle sees to it that the client sent nothing that the case did not look
// at.
func (k *clientCase) settle() {
	if k.v == nil {
		return
	}
	k.v.await(0, func() bool { return true })
	k.v.nothing()
}
