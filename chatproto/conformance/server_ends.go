package conformance

import (
	"fmt"
	"strings"
)

// endCases are about how a connection ends.
var endCases = []Case{
	{Name: "end/quit-in-turn", Section: "4.7", Rule: "QUIT is answered after what came before it", script: `
		A login
		A raw "SEND n=1 to={C} :one\r\nSEND n=2 to={nobody} :two\r\nONLN n=3 after={nobody}\r\nSEND n=4 to={C} :four\r\nQUIT n=5\r\n"
		A< 201 n=1
		A< 550 n=2
		A page n=3
		A< 201 n=4
		A< 221 n=5
		A end`},
	{Name: "end/nothing-after-quit", Section: "5.3", Rule: "what follows QUIT is not read as a frame", script: `
		B login
		A login
		A raw "QUIT\r\nSEND n=1 to={B} :after\r\nBLOK user={B}\r\n"
		A< 221
		A end
		B quiet`},
	{Name: "end/quit-refused", Section: "4.2", Rule: "a QUIT that is refused ends nothing", script: `
		A login
		A> QUIT n=x
		A< 501 !n
		A stay
		A sync`},
	{Name: "end/quit-acknowledges-nothing", Section: "5.3", Rule: "what was not acknowledged before QUIT is delivered at the next login", script: `
		A login
		B login
		A> SEND n=1 to={B} :one
		A> SEND n=2 to={B} :two
		B< MESG :{A}: one
		B< MESG :{A}: two
		A< 201 n=1
		A< 201 n=2
		B raw "ACKD count=1\r\nQUIT\r\n"
		B< 221
		B end
		B2 login / mail=1
		B2< MESG :{A}: two`},
	{Name: "end/no-reset", Section: "5.3", Rule: "on entering Closing the server shuts its side down and reads on for a while, so that its last frame is not lost", server: func(s *serverCase) {
		for range 5 {
			x := s.dial("X")
			x.raw([]byte("SEND n=1 to=x :too early\r\n" + strings.Repeat("CAST :more\r\n", 2000)))
			x.want("503 n=1")
			x.ended(s.opts.Patience)
		}
	}},
	{Name: "end/without-helo", Section: "5.3", Rule: "a connection that ends before a word is no trouble", server: func(s *serverCase) {
		for range 10 {
			s.dial("X").close()
		}
		s.login("A").sync()
	}},
}

// extensionCases are about what this version does not know.
func extensionCases() []Case {
	cases := []Case{
		{Name: "extension/capability", Section: "11", Rule: "an unknown capability is not used: the 220 does not list it", script: `
			X helo caps=x-unknown-1,x-unknown-2 / v=1
			X nocap x-unknown-1`},
		{Name: "extension/request", Section: "11", Rule: "an unknown request is answered 500 between others, and does not disturb them", script: `
			A login
			B login
			A raw "SEND n=1 to={B} :one\r\nROOM n=2 name=x :y\r\nSEND n=3 to={B} :two\r\n"
			B< MESG :{A}: one
			B< MESG :{A}: two
			A< 201 n=1
			A< 500 n=2
			A< 201 n=3`},
		{Name: "extension/unknown-decides-nothing", Section: "11", Rule: "the number of an unknown request is only a tag", script: `
			A login
			B login
			A> ROOM n=9
			A< 500 n=9
			A> SEND n=1 to={B} :one
			B< MESG :{A}: one
			A< 201 n=1`},
	}
	for _, c := range []struct{ verb, line, answer string }{
		{"HELO", "HELO%s v=1%s acks=1%s", "220"},
		{"AUTH", "AUTH%s user={nobody}%s", "331"},
	} {
		cases = append(cases, unknownField(c.verb, "X open", c.line, c.answer))
	}
	for _, c := range []struct{ verb, line, answer string }{
		{"SEND", "SEND%s n=1%s to={nobody}%s :hi", "550 n=1"}, {"CAST", "CAST%s n=1%s", "201 n=1"}, {"ONLN", "ONLN%s n=1%s after=\U0010fffd", "211 n=1"},
		{"BLOK", "BLOK%s n=1%s user={nobody}%s", "550 n=1"}, {"UBLK", "UBLK%s user={C}%s", "200"}, {"LSTN", "LSTN%s n=1%s port=28403%s", "200 n=1"},
		{"ADDR", "ADDR%s user={nobody}%s", "550"}, {"CNST", "CNST%s user={nobody}%s", "554"}, {"RVKE", "RVKE%s n=1%s user={nobody}%s", "200 n=1"},
		{"RDAT", "RDAT%s s=1%s data=AAAA%s", ""}, {"ACKD", "ACKD%s count=0%s", ""}, {"LIVE", "LIVE%s", ""}, {"QUIT", "QUIT%s n=1%s", "221 n=1"},
	} {
		cases = append(cases, unknownField(c.verb, "A login", c.line, c.answer))
	}
	return cases
}

// unknownField is a case: fields that nobody knows, at every place of a
// request, are ignored. AUTH comes after HELO, and CAST once in an origin.
func unknownField(verb, begin, line, answer string) Case {
	places := strings.Count(line, "%s")
	return Case{Name: "extension/field-" + strings.ToLower(verb), Section: "11",
		Rule: "an unknown field of " + verb + " is ignored, wherever it stands",
		server: func(s *serverCase) {
			for place := range places {
				fields := make([]any, places)
				for i := range fields {
					fields[i] = ""
				}
				fields[place] = ` x-new=what\sis\nthis`
				name := strings.Fields(begin)[0]
				script := begin + "\n"
				if verb == "AUTH" {
					script = name + " helo\n"
				}
				script += name + "> " + fmt.Sprintf(line, fields...) + "\n"
				if answer != "" {
					script += name + "< " + answer + "\n"
				} else {
					script += name + " sync\n"
				}
				if l := s.named[name]; l != nil {
					l.close()
				}
				s.play(script)
			}
		}}
}
