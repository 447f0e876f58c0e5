package conformance

import (
	"fmt"
	"time"
)

// sessionCases are about sessions, which outlive their connections.
var sessionCases = []Case{
	{Name: "session/lingers", Section: "7.1", Rule: "when a connection ends without QUIT its session lingers: the user stays online, and nobody is told", script: `
		C login pres=1
		A login origin=a1{hex}
		C< PRES user={A} on=1
		A cut
		wait 200ms
		B login
		B listed {A}
		B> ADDR user={A}
		B< 202
		A2 login origin=a1{hex} / new=0 known=1 :
		A2 sync
		A2 maybe RQST user={B}
		C absent {A}`},
	{Name: "session/half-close", Section: "5.3", Rule: "at an end of input without QUIT the server answers what it has read, and closes", script: `
		A login origin=a1{hex}
		A raw "RVKE n=1 user=x\r\nSEND n=2 to={C} :last words\r\n"
		A half
		A< 200 n=1
		A< 201 n=2
		A end
		A2 login origin=a1{hex} / new=0 high=2
		C login / mail=1
		C< MESG :{A}: last words`},
	{Name: "session/replaced", Section: "7.1", Rule: "a login from another origin replaces the session, which gets GBYE why=replaced, or is refused with 421, as the server's policy is", server: func(s *serverCase) {
		old := s.login("A")
		x := s.open("X")
		x.send("AUTH user=" + s.vars["A"] + " pass=" + s.vars["A.pass"] + " origin=" + randomOrigin())
		x.await(s.opts.Patience, func() bool { return len(x.replies)+len(x.events) > 0 })
		x.mu.Lock()
		refused := len(x.events) > 0
		x.mu.Unlock()
		if refused {
			x.want("421 !retry")
			x.ended(s.opts.Patience)
			old.sync()
			return
		}
		x.want("230 new=1 known=0")
		old.want("GBYE why=replaced")
		old.ended(s.opts.Patience)
		x.sync()
	}},
	{Name: "session/new-origin", Section: "7.1", Rule: "while a session lingers, a login from another origin begins a new one", script: `
		A login origin=a1{hex}
		A cut
		A2 login origin=a2{hex} / new=1 known=0
		A2 cut
		A3 login origin=a1{hex} / new=1 known=1`},
	{Name: "session/same-origin", Section: "7.1", Rule: "a login of the same origin that finds the old connection open goes on with the session", script: `
		A login origin=a1{hex}
		A2 login origin=a1{hex} / new=0 known=1
		A fenced
		A2 sync`},
	{Name: "session/drawn-never-resumes", Section: "6.6", Rule: "a client without an origin always begins a new session", script: `
		A login origin=- / new=1
		A cut
		A2 login origin=- / new=1 known=0`},
	{Name: "session/quit-ends", Section: "7.1", Rule: "QUIT ends the session", script: `
		A login origin=a1{hex}
		A quit
		B login
		B unlisted {A}
		B> ADDR user={A}
		B< 551
		A2 login origin=a1{hex} / new=1 known=1`},
	{Name: "session/events-kept", Section: "7.1", Should: true, Rule: "RQST for a lingering session is kept for its return", script: `
		B login origin=b2{hex}
		B cut
		wait 200ms
		A login
		A> ADDR user={B}
		A< 202
		B2 login origin=b2{hex} / new=0
		B2< RQST user={A}`},
	{Name: "session/linger-ends", Section: "7.1", Slow: true, Rule: "a lingering session ends after one timeout", server: func(s *serverCase) {
		s.play(`
			C login pres=1 beat=-
			A login origin=a1{hex}
			C< PRES user={A} on=1
			A cut`)
		c := s.named["C"]
		c.await(s.target.Timeout+s.opts.Patience, func() bool { return len(c.presence) > 0 })
		s.play(`
			C< PRES user={A} on=0
			A2 login origin=a1{hex} / new=1 known=1`)
	}},
	{Name: "session/last-login", Section: "7.1", Slow: true, Rule: "a client whose session ended by timeout comes back as any login does, also when its user has begun another session meanwhile", server: func(s *serverCase) {
		s.play(`
			C login pres=1 beat=-
			A login origin=a1{hex}
			C< PRES user={A} on=1
			A cut`)
		c := s.named["C"]
		c.await(s.target.Timeout+s.opts.Patience, func() bool { return len(c.presence) > 0 })
		s.play(`
			C< PRES user={A} on=0
			A2 login origin=a2{hex} / new=1
			A2 cut`)
		fields := []string{"origin=a1" + s.vars["hex"]}
		if token, has := s.named["A"].welcome.value("token"); has {
			fields = append(fields, "token="+token)
		}
		s.check230("A3", "230 new=1 known=1", s.login("A3", fields...).welcome)
	}},
}

// presenceCases are about PRES.
var presenceCases = []Case{
	{Name: "presence/in-and-out", Section: "7.2", Rule: "PRES tells the others that a session begins and ends", script: `
		B login pres=1
		A login
		B< PRES user={A} on=1 :{A} logged in
		A quit
		B< PRES user={A} on=0 :{A} logged out`},
	{Name: "presence/default", Section: "4.3", Rule: "PRES is the default", script: `
		B login pres=-
		A login
		B< PRES user={A} on=1`},
	{Name: "presence/declined", Section: "7.2", Rule: "who says pres=0 gets no PRES", script: `
		B login pres=0
		A login
		A quit
		B sync
		B absent {A}`},
	{Name: "presence/not-oneself", Section: "7.2", Rule: "nobody gets PRES about themselves", script: `
		B login pres=1
		A login pres=1
		B< PRES user={A} on=1
		A sync
		A absent {A}`},
	{Name: "presence/blocked", Section: "7.2", Rule: "who is blocked by a user gets no PRES about them", script: `
		A login
		A> BLOK user={B}
		A< 200
		A quit
		B login pres=1
		C login pres=1
		A2 login
		C< PRES user={A} on=1
		A2 quit
		C< PRES user={A} on=0
		B sync
		B absent {A}`},
	{Name: "presence/blocker-sees", Section: "7.2", Rule: "a block is one-way: who has blocked a user gets PRES about them", script: `
		A login pres=1
		A> BLOK user={B}
		A< 200
		B login
		A< PRES user={B} on=1
		B quit
		A< PRES user={B} on=0`},
	{Name: "presence/not-by-block", Section: "4.5", Rule: "no PRES is sent because of a block that is told", server: func(s *serverCase) {
		s.skipIfHidden()
		s.play(`
			B login pres=1
			A login
			B< PRES user={A} on=1
			A> BLOK user={B}
			A< 200
			A> UBLK user={B}
			A< 200
			B sync
			B absent {A}`)
	}},
}

// heartbeatCases are about silence.
var heartbeatCases = []Case{
	{Name: "beat/server", Section: "7.3", Rule: "the server sends LIVE when it was silent for the client's heartbeat", server: func(s *serverCase) {
		begun := time.Now()
		a := s.login("A", "beat=1000")
		if !a.await(time.Second+s.opts.Patience/2, func() bool { return a.lives > 0 }) {
			s.failf("A: no LIVE came within %v, though beat=1000", time.Since(begun).Round(time.Millisecond))
		}
		if waited := time.Since(begun); waited < 500*time.Millisecond {
			s.failf("A: LIVE came after %v, though beat=1000", waited)
		}
	}},
	{Name: "beat/not-before-login", Section: "7.3", Rule: "heartbeats begin with the login", server: func(s *serverCase) {
		x := s.open("X", "beat=1000")
		s.sleep(1500 * time.Millisecond)
		if x.lives > 0 {
			s.failf("X: LIVE came before the login")
		}
	}},
	{Name: "beat/person", Section: "7.3", Rule: "who promised no heartbeat gets no LIVE", Slow: true, server: func(s *serverCase) {
		a := s.login("A", "beat=-")
		s.sleep(s.target.Timeout + s.opts.Patience)
		if a.lives > 0 {
			s.failf("A: LIVE came to a person")
		}
		a.sync()
	}},
	{Name: "beat/timeout", Section: "7.3", Slow: true, Rule: "a client with a heartbeat that is silent for the timeout is ended with GBYE why=timeout, and the others are told", server: func(s *serverCase) {
		c := s.login("C", "pres=1", "beat=-")
		a := s.login("A", "beat=1000")
		c.want("PRES on=1 user=" + s.vars["A"])
		begun := time.Now()
		b := s.login("B", "beat=1000") // lives on by part of a line: no
		for time.Since(begun) < s.target.Timeout*3/4 {
			s.sleep(s.target.Timeout / 5)
			b.raw([]byte("x"))
		}
		for _, l := range []*link{a, b} {
			l.await(s.target.Timeout, func() bool { return len(l.events) > 0 })
			l.want("GBYE why=timeout")
			l.ended(s.opts.Patience)
		}
		if lasted := time.Since(begun); lasted < s.target.Timeout*9/10 {
			s.failf("A: ended after %v, the timeout is %v", lasted, s.target.Timeout)
		}
		c.want("PRES on=1 user=" + s.vars["B"])
		c.want("PRES on=0")
		c.want("PRES on=0")
	}},
	{Name: "beat/live-keeps", Section: "7.3", Slow: true, Rule: "any line is a sign of life", server: func(s *serverCase) {
		a := s.login("A", "beat=1000")
		b := s.login("B", "beat=1000")
		for range 4 {
			s.sleep(s.target.Timeout * 2 / 5)
			a.send("LIVE")
			b.send("not a frame")
			b.want("500")
		}
		a.sync()
		b.sync()
	}},
	{Name: "beat/person-timeout", Section: "7.3", Slow: true, Rule: "a person who is silent for 10 minutes is ended", server: func(s *serverCase) {
		a := s.login("A", "beat=-", "acks=-")
		a.await(s.target.IdleTimeout+s.opts.Patience, func() bool { return len(a.events) > 0 })
		a.want("GBYE why=timeout")
		a.ended(s.opts.Patience)
	}},
	{Name: "login/timeout", Section: "7.4", Slow: true, Rule: "a connection that is not logged in after 30 s gets GBYE why=timeout; LIVE does not prolong that", server: func(s *serverCase) {
		begun := time.Now()
		x, y := s.dial("X"), s.open("Y")
		for time.Since(begun) < s.target.LoginTimeout*2/3 {
			s.sleep(s.target.LoginTimeout / 4)
			x.send("LIVE")
			y.send("LIVE")
		}
		for _, l := range []*link{x, y} {
			l.await(s.target.LoginTimeout/2+s.opts.Patience, func() bool { return len(l.events) > 0 })
			l.want("GBYE why=timeout")
			l.ended(s.opts.Patience)
		}
	}},
}

// mailCases are about what waited for a login.
var mailCases = []Case{
	{Name: "mail/waits", Section: "7.5", Rule: "mail= says how many messages wait, and they are the first deliveries, in their order", script: `
		A login
		A> SEND n=1 to={C} :one
		A> SEND n=2 to={C}
		A> SEND n=3 to={C} :three\nlines
		A< 201 n=1 how=stored
		A< 201 n=2 how=stored
		A< 201 n=3 how=stored
		C login / new=1 mail=3 :Welcome to simple chat server!\nOffline Messages:
		A> SEND n=4 to={C} :four
		C< MESG id={A.origin}.1 :{A}: one
		C< MESG id={A.origin}.2 :{A}:
		C< MESG id={A.origin}.3 :{A}: three\nlines
		C< MESG id={A.origin}.4 :{A}: four
		A< 201 n=4`},
	{Name: "mail/none", Section: "4.3", Rule: "without mail the welcome says so", script: `
		A login / mail=0 new=1 :Welcome to simple chat server!\nOffline Messages:\nNo offline messages`},
	{Name: "mail/resumed", Section: "4.3", Rule: "a session that goes on gets no welcome", script: `
		A login origin=a1{hex}
		A cut
		A2 login origin=a1{hex} / new=0 :`},
	{Name: "mail/person", Section: "6.5", Rule: "a person gets the mail, too, once", script: `
		A login
		A> SEND n=1 to={C} :one
		A< 201 n=1
		C login acks=- beat=- origin=- / mail=1
		C< MESG :{A}: one
		C quit
		C2 login / mail=0`},
	{Name: "mail/several-senders", Section: "7.5", Rule: "the mail of several senders is in the order in which it was accepted", server: func(s *serverCase) {
		a, b := s.login("A"), s.login("B")
		for n := 1; n <= 4; n++ {
			for _, l := range []*link{a, b} {
				l.send(fmt.Sprintf("SEND n=%d to=%s :%d", n, s.vars["C"], n))
				l.want(fmt.Sprintf("201 n=%d", n))
			}
		}
		c := s.login("C")
		for n := 1; n <= 4; n++ {
			c.want(fmt.Sprintf("MESG :%s: %d", s.vars["A"], n))
			c.want(fmt.Sprintf("MESG :%s: %d", s.vars["B"], n))
		}
	}},
	{Name: "mail/survives-a-block", Section: "4.5", Rule: "messages that were accepted before a block are still delivered", script: `
		A login
		A> SEND n=1 to={B} :before
		A< 201 n=1
		B login / mail=1
		B< MESG :{A}: before
		B> BLOK user={A}
		B< 200
		B cut
		B2 login / mail=1
		B2< MESG :{A}: before`},
}
