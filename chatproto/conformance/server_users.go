package conformance

import (
	"fmt"
	"slices"
)

// blockCases are about BLOK and UBLK.
var blockCases = []Case{
	{Name: "block/send", Section: "4.5", Rule: "what a blocked user sends does not arrive", script: `
		A login
		B login
		A> BLOK n=1 user={B}
		A< 200 n=1
		B> SEND n=1 to={A} :hello?
		B drain 1
		A quiet`},
	{Name: "block/told", Section: "9.5", Rule: "under the policy tell a blocked sender is told, by 553", server: func(s *serverCase) {
		s.skipIfHidden()
		s.play(`
			A login
			B login
			A> BLOK n=1 user={B}
			A< 200 n=1
			B> SEND n=1 to={A} :hello?
			B< 553 n=1 :You are blocked by {A}
			B> ADDR n=2 user={A}
			B< 553 n=2 :Blocked by {A}`)
	}},
	{Name: "block/hidden", Section: "9.5", Rule: "under the policy hide a blocked sender sees a user who is offline", server: func(s *serverCase) {
		if !s.suite.hides {
			s.skipf("the server tells of blocks")
		}
		s.play(`
			A login
			B login
			A> BLOK n=1 user={B}
			A< 200 n=1
			B> SEND n=1 to={A} :hello?
			B< 201 n=1 how=stored
			B> ADDR n=2 user={A}
			B< 551 n=2 :{A} is not online.
			B> SEND n=1 to={A} :hello?
			B< 201 n=1 how=stored
			B> CNST n=3 user={A}
			B< 554 n=3
			A quit
			A2 login / mail=0`)
	}},
	{Name: "block/hidden-leaves", Section: "9.5", Rule: "under the policy hide a blocked user sees the blocker log out, and log in again at the UBLK; what was sent meanwhile is gone", server: func(s *serverCase) {
		if !s.suite.hides {
			s.skipf("the server tells of blocks")
		}
		s.play(`
			B login pres=1
			A login
			B< PRES user={A} on=1
			A> BLOK user={B}
			A< 200
			B< PRES user={A} on=0
			B> SEND n=1 to={A} :hello?
			B< 201 n=1
			A> UBLK user={B}
			A< 200
			B< PRES user={A} on=1
			B> SEND n=2 to={A} :and now?
			A< MESG :{B}: and now?
			B< 201 n=2
			A quit
			B< PRES user={A} on=0
			A2 login / mail=1
			A2< MESG :{B}: and now?`)
	}},
	{Name: "block/hidden-consents", Section: "9.5", Rule: "under the policy hide a block ends the consents of both directions with why=gone", server: func(s *serverCase) {
		if !s.suite.hides {
			s.skipf("the server tells of blocks")
		}
		s.play(granted + `
			A> BLOK user={B}
			A< 200
			B< RVKD user={A} owner={B} why=gone
			A< RVKD user={B} owner={B} why=gone`)
	}},
	{Name: "block/leaks-nothing", Section: "9.5", Rule: "no reply to a blocked user depends on whether the blocker is online", server: func(s *serverCase) {
		a, b := s.login("A"), s.login("B")
		a.send("BLOK user=" + s.vars["B"])
		a.want("200")
		n := 0
		ask := func() (answers []string) {
			for _, line := range []string{"SEND n=%d to=%s :hello?", "ADDR n=%d user=%s", "RVKE n=%d user=%s"} {
				n++
				b.send(fmt.Sprintf(line, n, s.vars["A"]))
				h := b.next(&b.replies, "an answer")
				how, _ := h.value("how")
				answers = append(answers, h.frame.Code.String()+" "+how+" "+h.text)
			}
			return answers
		}
		online := ask()
		a.quit()
		if offline := ask(); !slices.Equal(online, offline) {
			s.failf("B is answered %q while the blocker is online, and %q while not", online, offline)
		}
	}},
	{Name: "block/sentence", Section: "4", Should: true, Rule: "BLOK and UBLK say what was done", script: `
		A login
		A> BLOK user={B}
		A< 200 :User {B} has been blocked
		A> UBLK user={B}
		A< 200 :User {B} is unblocked`},
	{Name: "block/no-such-user", Section: "4.5", Rule: "BLOK and UBLK of a user who does not exist are answered 550", script: `
		A login
		A> BLOK n=1 user={nobody}
		A< 550 n=1 :{nobody} is not a valid user.
		A> UBLK n=2 user={nobody}
		A< 550 n=2
		A> BLOK n=3 user=
		A< 550 n=3`},
	{Name: "block/oneself", Section: "4.5", Rule: "BLOK and UBLK of oneself are answered 550", script: `
		A login
		A> BLOK n=1 user={A}
		A< 550 n=1
		A> UBLK n=2 user={A}
		A< 550 n=2`},
	{Name: "block/twice", Section: "4.5", Rule: "to block who is blocked, and to unblock who is not, is answered 200", script: `
		A login
		A> UBLK n=1 user={B}
		A< 200 n=1
		A> BLOK n=2 user={B}
		A< 200 n=2
		A> BLOK n=3 user={B}
		A< 200 n=3
		A> UBLK n=4 user={B}
		A< 200 n=4
		B login
		B> SEND n=1 to={A} :hi
		A< MESG :{B}: hi
		B< 201 n=1`},
	{Name: "block/one-way", Section: "4.5", Rule: "a block is one-way: the blocker may send to who is blocked", script: `
		A login
		B login
		A> BLOK user={B}
		A< 200
		A> SEND n=1 to={B} :you hear me
		B< MESG :{A}: you hear me
		A< 201 n=1`},
	{Name: "block/outlives-session", Section: "4.5", Rule: "a block outlives the session", script: `
		A login
		A> BLOK user={B}
		A< 200
		A quit
		A2 login
		B login
		B> SEND n=1 to={A} :hello?
		B drain 1
		A2 quiet`},
	{Name: "block/offline", Section: "4.5", Rule: "a block holds while the blocker is offline", script: `
		A login
		A> BLOK user={B}
		A< 200
		A quit
		B login
		B> SEND n=1 to={A} :hello?
		B drain 1
		A2 login / mail=0`},
	{Name: "block/taken-back", Section: "4.5", Rule: "UBLK takes a block back", script: `
		A login
		B login
		A> BLOK user={B}
		A< 200
		A> UBLK user={B}
		A< 200
		B> SEND n=1 to={A} :thanks
		A< MESG :{B}: thanks
		B< 201 n=1`},
}

// onlineCases are about ONLN.
var onlineCases = []Case{
	{Name: "online/lists", Section: "4.5", Rule: "ONLN lists those who have a session, by name, without the asker", script: `
		A login
		B login
		A> ONLN n=1
		A page n=1
		A listed {B}
		A unlisted {A}
		A unlisted {C}`},
	{Name: "online/sorted", Section: "3.5", Rule: "a list is sorted by octet, and each entry's description is its name", server: func(s *serverCase) {
		a := s.login("A")
		s.login("B")
		s.login("C")
		names := a.list("")
		if !slices.IsSorted(names) {
			s.failf("A: the list is not sorted: %q", names)
		}
		if len(slices.Compact(names)) != len(names) {
			s.failf("A: a name stands twice: %q", names)
		}
	}},
	{Name: "online/after", Section: "4.5", Rule: "after= lists only the names above it, which need not exist", server: func(s *serverCase) {
		a := s.login("A")
		s.login("B")
		s.login("C")
		all := a.list("")
		for _, after := range append(all, s.vars["nobody"], "", "\u00ff") {
			var want []string
			for _, name := range all {
				if name > after {
					want = append(want, name)
				}
			}
			if got := a.list(" after=" + after); !slices.Equal(got, want) {
				s.failf("A: ONLN after=%s lists %q; wanted %q", after, got, want)
			}
		}
	}},
	{Name: "online/blocked", Section: "4.5", Rule: "who has blocked the asker is not listed; whom the asker has blocked is", script: `
		A login
		B login
		A> BLOK user={B}
		A< 200
		B unlisted {A}
		A listed {B}
		A> UBLK user={B}
		A< 200
		B listed {A}`},
	{Name: "online/tags", Section: "4.2", Rule: "each 111 and the 211 carry the n= of the request", script: `
		A login
		B login
		A> ONLN n=77
		A page n=77
		A> ONLN
		A page !n`},
	{Name: "online/alone", Section: "4.5", Rule: "an empty list is a 211 alone", server: func(s *serverCase) {
		a := s.login("A")
		a.send("ONLN after=\U0010fffd")
		a.want("211 !more")
	}},
}

// list asks who is online and returns the names.
func (l *link) list(args string) (names []string) {
	l.send("ONLN" + args)
	for {
		h := l.next(&l.replies, "an answer to ONLN")
		user, _ := h.value("user")
		switch h.frame.Code.String() {
		case "111":
			if h.text != user {
				l.k.failf("%s: the description of an entry is not its name: %s", l.name, quoted(h.line))
			}
			names = append(names, user)
		case "211":
			if more, has := h.value("more"); has {
				return append(names, l.list(" after="+more)...)
			}
			return names
		default:
			l.k.failf("%s: got %s; wanted 111 or 211", l.name, quoted(h.line))
		}
	}
}

// page takes one list whose frames all are what the pattern says.
func (l *link) page(fields string) {
	for {
		h := l.next(&l.replies, "an answer to ONLN")
		code := h.frame.Code.String()
		if p := parsePattern(code + " " + fields); code != "111" && code != "211" || !p.match(h, l.k.vars) {
			l.k.failf("%s: got %s; wanted 111 or 211 with %s", l.name, quoted(h.line), fields)
		}
		if code == "211" {
			return
		}
	}
}
