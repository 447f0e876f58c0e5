package conformance

import (
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"time"
)

// privateCase is a case about a private line to the client, which has logged
// in; it is skipped if the client takes none.
func privateCase(name, section, rule string, f func(k *clientCase)) Case {
	return Case{Name: "private/" + name, Section: section, Rule: rule, client: func(k *clientCase) {
		k.login()
		k.listening()
		f(k)
	}}
}

var clientPrivateCases = []Case{
	{Name: "private/forgets", Section: "8.3", Rule: "a client whose first login is answered new=0 sends LSTN without port= before the one with it", client: func(k *clientCase) {
		k.login("new=0", "known=1")
		k.listening()
		if k.v.listened[0].has("port") {
			k.failf("the first LSTN has a port: %s", quoted(k.v.listened[0].line))
		}
	}},
	privateCase("registers", "4.6", "LSTN has the client's key and a proof of it", func(k *clientCase) {
		if !k.v.listens.has("key") {
			k.failf("the client takes lines and registers no key: %s", quoted(k.v.listens.line))
		}
	}),
	privateCase("stranger", "8.4", "who was not consented to is refused in the handshake", func(k *clientCase) {
		k.refused(newIdentity(), peerALPN)
	}),
	privateCase("asked-only", "8.3", "to ask is not enough", func(k *clientCase) {
		id := newIdentity()
		k.v.send("RQST user=peer key=" + id.String())
		k.play("message go on\necho go on\naccepted")
		k.refused(id, peerALPN)
	}),
	privateCase("messages", "8.4", "who was consented to opens a line, and its messages are answered in their order", func(k *clientCase) {
		id := newIdentity()
		k.consents(id)
		l := k.opened(id)
		l.say("MESG n=1 :peer: one")
		l.say("LIVE")
		l.say("MESG n=2 :peer:")
		l.say(`MESG n=7 :peer: two\nlines`)
		l.want("201 n=1")
		l.want("201 n=2")
		l.want("201 n=7")
		l.say("QUIT")
		l.want("221")
		l.closes()
	}),
	privateCase("decides-once", "8.4", "a number is decided once: what was taken is answered 201 again, what was skipped 455, on another line too", func(k *clientCase) {
		id := newIdentity()
		k.consents(id)
		l := k.opened(id)
		l.say("MESG n=5 :peer: five")
		l.want("201 n=5")
		l.say("MESG n=4 :peer: four")
		l.want("455 n=4")
		l.close()
		l = k.opened(id)
		l.say("MESG n=5 :peer: five")
		l.want("201 n=5")
		l.say("MESG n=6 :peer: six")
		l.want("201 n=6")
	}),
	privateCase("wrong-key", "8.4", "another key than the one that was consented to is refused in the handshake", func(k *clientCase) {
		k.consents(newIdentity())
		k.refused(newIdentity(), peerALPN)
	}),
	privateCase("alpn", "8.4", "a line without the protocol's name in TLS is refused in the handshake", func(k *clientCase) {
		id := newIdentity()
		k.consents(id)
		k.refused(id)
		k.refused(id, "http/1.1")
		k.refused(id, "parley/1")
	}),
	privateCase("introduction", "8.4", "PEER names both ends rightly, and is the first frame; else the acceptor refuses and closes", func(k *clientCase) {
		id := newIdentity()
		k.consents(id)
		for _, c := range []struct{ line, answer string }{
			{"PEER v=1 from=peer to=nobody-else origin=5eed", "553"}, {"PEER v=1 from=mallory to={user} origin=5eed", "553"},
			{"PEER v=60000 from=peer to={user} origin=5eed", "505"}, {"PEER v=1 from=peer origin=5eed", "501"},
			{"PEER v=1 to={user} origin=5eed", "501"}, {"PEER v=1 from=peer to={user}", "501"}, {"PEER v=1 from=peer to={user} origin=0", "501"},
			{"HELO v=1", "501"}, {"MESG n=1 :peer: one", "501"}, {"peer v=1", "500"},
		} {
			l, err := k.dialPeer(id, peerALPN)
			if err != nil {
				k.failf("private line: %v", err)
			}
			l.say(expand(c.line, k.vars))
			l.want(c.answer)
			l.closes()
		}
	}),
	privateCase("bad-requests", "8.4", "what is no message is refused, and the line closed", func(k *clientCase) {
		id := newIdentity()
		k.consents(id)
		for _, c := range []struct{ line, answer string }{
			{"MESG :peer: no number", "501"}, {"MESG n=0 :peer: no number", "501"}, {"MESG n=1 :mallory: another", "501"},
			{"MESG n=1 :peer: " + strings.Repeat("x", 7169), "552"}, {"SEND n=1 to=x :y", "503"}, {"PEER v=1 from=peer to=x origin=1", "503"}, {"bad", "500"},
		} {
			l := k.opened(id)
			l.say(c.line)
			l.want(c.answer)
			l.closes()
		}
	}),
	privateCase("revoked", "8.3", "when a consent ends the line is closed, and another one is refused", func(k *clientCase) {
		id := newIdentity()
		k.consents(id)
		l := k.opened(id)
		k.v.send("RVKD user=peer owner=" + k.vars["user"] + " why=revoked")
		l.closes()
		k.refused(id, peerALPN)
	}),
	privateCase("blocked", "8.3", "a consent ends when its owner blocks the asker", func(k *clientCase) {
		id := newIdentity()
		k.consents(id)
		l := k.opened(id)
		k.command("!block peer", "BLOK user=peer")
		l.closes()
		k.refused(id, peerALPN)
		k.v.send(k.answer("200"))
	}),
	privateCase("refused-consent", "8.3", "a CNST that is refused is no consent", func(k *clientCase) {
		id := newIdentity()
		k.v.send("RQST user=peer key=" + id.String())
		k.command("!consent peer", "CNST user=peer")
		k.v.send(k.answer("554"))
		k.play("message go on\necho go on\naccepted")
		k.refused(id, peerALPN)
	}),
	privateCase("early", "8.3", "the asker may dial before the 200 to CNST is there", func(k *clientCase) {
		id := newIdentity()
		k.v.send("RQST user=peer key=" + id.String())
		k.command("!consent peer", "CNST user=peer")
		answer := k.answer("200", "key="+id.String(), "ttl=600000")
		l := k.opened(id)
		l.say("MESG n=1 :peer: early")
		l.want("201 n=1")
		k.v.send(answer)
	}),
	privateCase("expired", "8.3", "a consent ends when its ttl= has passed", func(k *clientCase) {
		id := newIdentity()
		k.v.send("RQST user=peer key=" + id.String())
		k.command("!consent peer", "CNST user=peer")
		k.v.send(k.answer("200", "key="+id.String(), "ttl=700"))
		l := k.opened(id)
		k.sleep(800 * time.Millisecond)
		l.say("MESG n=1 :peer: late")
		if !l.await(k.opts.Patience, func() bool { return l.over || len(l.heard) > 0 }) {
			k.failf("private line: neither closed nor answered")
		}
		if len(l.heard) > 0 {
			l.want("553")
		}
		k.refused(id, peerALPN)
	}),
	privateCase("other-boot", "4.3", "another boot= of the server ends all consents", func(k *clientCase) {
		id := newIdentity()
		k.consents(id)
		l := k.opened(id)
		k.play("acked 2\ndrop\naccept\ngreet boot=another\nwelcome new=0 known=1 high={n}")
		l.closes()
		k.refused(id, peerALPN)
	}),
	privateCase("new-session", "8.3", "a client whose session has ended forgets all consents", func(k *clientCase) {
		id := newIdentity()
		k.consents(id)
		l := k.opened(id)
		k.play("acked 2\ndrop\nback new=1")
		l.closes()
		k.refused(id, peerALPN)
	}),
	privateCase("session-goes-on", "8.3", "a consent outlives a connection whose session goes on", func(k *clientCase) {
		id := newIdentity()
		k.consents(id)
		k.play("acked 2\ndrop\nback new=0")
		l := k.opened(id)
		l.say("MESG n=1 :peer: one")
		l.want("201 n=1")
	}),
	privateCase("key-changed", "8.6", "when a user whose line was taken has another key, the client does not consent by itself", func(k *clientCase) {
		id, other := newIdentity(), newIdentity()
		k.consents(id)
		l := k.opened(id)
		l.say("MESG n=1 :peer: one")
		l.want("201 n=1")
		k.v.send("RVKD user=peer owner=" + k.vars["user"] + " why=gone")
		l.closes()
		k.v.send("RQST user=peer key=" + other.String())
		k.message("!consent peer")
		k.play("quiet")
		k.refused(other, peerALPN)
	}),
}

// A peerDoor is where the suite takes private lines of the client.
type peerDoor struct {
	net.Listener
	id identity
}

// door opens one, and tells the client of it as the user peer's.
func (k *clientCase) door(id, told identity) *peerDoor {
	host, _, err := net.SplitHostPort(k.v.nc.LocalAddr().String())
	if err != nil {
		k.skipf("the suite has no address that could be dialled")
	}
	l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		k.skipf("the suite cannot listen: %v", err)
	}
	k.doors = append(k.doors, l)
	_, port, _ := net.SplitHostPort(l.Addr().String())
	k.vars["addr"], k.vars["port"] = host, port
	k.v.send(fmt.Sprintf("GETA user=peer addr=%s port=%s ttl=600000 key=%s :%s %s peer", host, port, told, port, host))
	return &peerDoor{l, id}
}

// take waits for the client to dial. It returns nil if none came within d, or
// it ended the handshake.
func (k *clientCase) take(d *peerDoor, within time.Duration) *line {
	d.Listener.(*net.TCPListener).SetDeadline(time.Now().Add(within))
	nc, err := d.Accept()
	if err != nil {
		return nil
	}
	c := tls.Server(nc, d.id.config(peerALPN))
	nc.SetDeadline(time.Now().Add(k.opts.Patience))
	if err := c.Handshake(); err != nil {
		k.log("line", ":", err.Error())
		nc.Close()
		return nil
	}
	nc.SetDeadline(time.Time{})
	return k.newLine(c)
}

// privately tells the client to send a private message. It is not asked for
// one if it echoes that.
func (k *clientCase) privately(text string) {
	k.message("!private peer " + text)
	if k.v.await(3*k.opts.Quiet, func() bool { return len(k.v.requests) > 0 }) {
		k.skipf("the client does not know !private")
	}
}

// dialCase is a case about a private line that the client opens.
func dialCase(name, section, rule string, f func(k *clientCase)) Case {
	return privateCase("dials-"+name, section, rule, f)
}

var clientDialCases = []Case{
	dialCase("out", "8.4", "who got an address dials it, introduces itself, and sends numbered messages under an origin of their own", func(k *clientCase) {
		id := newIdentity()
		d := k.door(id, id)
		k.privately("hello!")
		l := k.take(d, k.opts.Patience)
		if l == nil {
			k.failf("private line: the client does not dial")
		}
		if key, _ := k.v.listens.value("key"); l.key != key {
			k.failf("private line: the client shows the key %s; registered is %s", l.key, key)
		}
		l.want("PEER v=1 from=" + k.vars["user"] + " to=peer origin=@line")
		if k.vars["line"] == k.v.origin {
			k.failf("private line: its origin is that of the server (section 8.4)")
		}
		l.say("220 v=1")
		h := l.want("MESG n=* :" + k.vars["user"] + ": hello!")
		l.say("201 n=" + fmt.Sprint(h.frame.Value("n")))
	}),
	dialCase("again", "8.4", "a dialler whose line broke opens another, and sends what is unanswered again under its number", func(k *clientCase) {
		id := newIdentity()
		d := k.door(id, id)
		k.privately("hello!")
		l := k.take(d, k.opts.Patience)
		if l == nil {
			k.failf("private line: the client does not dial")
		}
		l.want("PEER v=1")
		l.say("220 v=1")
		first := l.want("MESG n=* :" + k.vars["user"] + ": hello!")
		l.close()
		if l = k.take(d, 2*k.opts.Patience); l == nil {
			k.failf("private line: the client does not dial again")
		}
		l.want("PEER v=1")
		l.say("220 v=1")
		if again := l.want("MESG n=*"); again.line != first.line {
			k.failf("private line: %s was unanswered, and now comes %s", quoted(first.line), quoted(again.line))
		}
		l.say("201 n=" + first.frame.Value("n"))
	}),
	dialCase("another-key", "8.4", "a dialler ends the handshake with an acceptor that has another key", func(k *clientCase) {
		d := k.door(newIdentity(), newIdentity())
		k.privately("hello!")
		if l := k.take(d, k.opts.Patience/2); l != nil && l.await(k.opts.Patience/2, func() bool { return len(l.heard) > 0 }) {
			k.failf("private line: the client says %s to somebody with another key", quoted(l.heard[0].line))
		}
	}),
	dialCase("not-after-the-end", "8.3", "an asker does not dial when the consent has ended", func(k *clientCase) {
		id := newIdentity()
		d := k.door(id, id)
		k.v.send("RVKD user=peer owner=peer why=revoked")
		k.privately("hello!")
		if l := k.take(d, 5*k.opts.Quiet); l != nil {
			k.failf("private line: the client dials without a consent")
		}
	}),
	dialCase("not-to-low-ports", "8.5", "a dialler does not connect to a port below 1024", func(k *clientCase) {
		host, _, err := net.SplitHostPort(k.v.nc.LocalAddr().String())
		if err != nil {
			k.skipf("the suite has no address that could be dialled")
		}
		var l net.Listener
		for port := 1023; port > 1000 && l == nil; port-- {
			l, _ = net.Listen("tcp", net.JoinHostPort(host, fmt.Sprint(port)))
		}
		if l == nil {
			k.skipf("the suite may not listen on a port below 1024")
		}
		k.doors = append(k.doors, l)
		_, port, _ := net.SplitHostPort(l.Addr().String())
		id := newIdentity()
		k.v.send(fmt.Sprintf("GETA user=peer addr=%s port=%s ttl=600000 key=%s", host, port, id))
		k.privately("hello!")
		l.(*net.TCPListener).SetDeadline(time.Now().Add(5 * k.opts.Quiet))
		if nc, err := l.Accept(); err == nil {
			nc.Close()
			k.failf("private line: the client dials port %s", port)
		}
	}),
	dialCase("not-a-changed-key", "8.6", "when a user to whom a line was opened has another key, the client does not dial by itself", func(k *clientCase) {
		id, other := newIdentity(), newIdentity()
		d := k.door(id, id)
		k.privately("hello!")
		l := k.take(d, k.opts.Patience)
		if l == nil {
			k.failf("private line: the client does not dial")
		}
		l.want("PEER v=1")
		l.say("220 v=1")
		h := l.want("MESG n=*")
		l.say("201 n=" + h.frame.Value("n"))
		k.v.send("RVKD user=peer owner=peer why=gone")
		l.await(k.opts.Patience, func() bool { return l.over })
		d = k.door(other, other)
		k.message("!private peer and now?")
		if l := k.take(d, 5*k.opts.Quiet); l != nil && l.await(5*k.opts.Quiet, func() bool { return len(l.heard) > 0 }) {
			k.failf("private line: the client dials a user whose key has changed")
		}
	}),
}
