package conformance

import (
	"encoding/base64"
	"fmt"
	"strings"
)

// relayCase is a case that is skipped where lines are not relayed.
func relayCase(name, rule string, slow bool, f func(s *serverCase)) Case {
	return Case{Name: "relay/" + name, Section: "8.7", Rule: rule, Slow: slow, server: func(s *serverCase) {
		x := s.open("X", "caps=relay")
		if caps, _ := x.hello.value("caps"); !strings.Contains(","+caps+",", ",relay,") {
			s.skipf("the server does not relay")
		}
		x.close()
		f(s)
	}}
}

// relayed opens a stream from A to B, {s}.
func (s *serverCase) relayed() {
	s.identified()
	s.play(consented + `
		A> RLAY n=7 user={B}
		A< 200 n=7 s=@s
		B< RLAY user={A} s={s}`)
}

func octets(n int) string { return base64.StdEncoding.EncodeToString(make([]byte, n)) }

var relayCases = []Case{
	relayCase("data", "octets pass both ways, in their order", false, func(s *serverCase) {
		s.relayed()
		s.play(`
			A> RDAT s={s} data=AAAA
			A> RDAT s={s} data=AQEB
			B< RDAT s={s} data=AAAA
			B< RDAT s={s} data=AQEB
			B> RDAT s={s} data=AgIC ack=6
			A< RDAT s={s} ack=6
			A quiet`)
	}),
	relayCase("end", "either end ends a stream; octets before that are handed on", false, func(s *serverCase) {
		s.relayed()
		s.play(`
			A> RDAT s={s} data=AAAA
			A> RDAT s={s} end=1
			B< RDAT s={s} data=AAAA
			B< RDAT s={s} end=1
			A sync
			B> RDAT s={s} data=AAAA
			A quiet`)
	}),
	relayCase("not-agreed", "RLAY of a client that has not agreed to relay is 503, its RDAT is ignored", false, func(s *serverCase) {
		s.play(granted + `
			A> RLAY n=4 user={B}
			A< 503 n=4
			A> RDAT s=1 data=AAAA
			A sync`)
	}),
	relayCase("no-consent", "RLAY without a consent, be it that the user does not exist, is 553", false, func(s *serverCase) {
		s.identified()
		s.play(`
			A> RLAY n=1 user={B}
			A< 553 n=1
			A> RLAY n=2 user={nobody}
			A< 553 n=2
			A> RLAY n=3 user={A}
			A< 553 n=3
			A> RLAY n=4
			A< 501 n=4
			B quiet`)
	}),
	relayCase("owner-cannot", "RLAY to a user who has not agreed to relay is 551", false, func(s *serverCase) {
		a, b := s.login("A", "caps=relay"), s.login("B")
		ka, kb := newIdentity(), newIdentity()
		s.vars["A.key"], s.vars["B.key"] = ka.String(), kb.String()
		a.send(ka.register(a, ""))
		a.want("200")
		b.send(kb.register(b, "port=28403 "))
		b.want("200")
		s.play(consented + `
			A> RLAY n=1 user={B}
			A< 551 n=1
			B quiet`)
	}),
	relayCase("one-way", "a consent has a direction here, too", false, func(s *serverCase) {
		s.identified()
		s.play(consented + `
			B> RLAY n=1 user={A}
			B< 553 n=1
			A quiet`)
	}),
	relayCase("unknown-stream", "RDAT of a stream that is not there is ignored", false, func(s *serverCase) {
		s.relayed()
		s.play(`
			C login caps=relay
			C> RDAT s={s} data=AAAA
			C> RDAT s=4711 end=1
			C sync
			A> RDAT s=4711 data=AAAA
			A sync
			B quiet`)
	}),
	relayCase("consent-ends", "a stream ends when the consent ends", false, func(s *serverCase) {
		s.relayed()
		s.play(`
			B> RVKE user={A}
			B< 200
			A< RVKD user={B} why=revoked
			B< RVKD user={A} why=revoked
			A< RDAT s={s} end=1
			B< RDAT s={s} end=1`)
	}),
	relayCase("connection-ends", "a stream ends when a connection of either end does", false, func(s *serverCase) {
		s.relayed()
		s.play(`
			A cut
			B< RDAT s={s} end=1`)
	}),
	relayCase("window", "a stream ends when an end has more than 32,768 octets on the way", false, func(s *serverCase) {
		s.relayed()
		a, b := s.named["A"], s.named["B"]
		for range 8 {
			a.send("RDAT s=" + s.vars["s"] + " data=" + octets(4096))
			b.want("RDAT s=" + s.vars["s"] + " data=*")
		}
		a.send("RDAT s=" + s.vars["s"] + " data=AA==")
		s.play(`
			A< RDAT s={s} end=1
			B< RDAT s={s} end=1`)
	}),
	relayCase("acknowledged", "what is acknowledged makes room", false, func(s *serverCase) {
		s.relayed()
		a, b := s.named["A"], s.named["B"]
		for i := range 40 {
			a.send("RDAT s=" + s.vars["s"] + " data=" + octets(4096))
			b.want("RDAT s=" + s.vars["s"] + " data=*")
			if i%4 == 3 {
				b.send(fmt.Sprintf("RDAT s=%s ack=%d", s.vars["s"], 4096*(i+1)))
				a.want(fmt.Sprintf("RDAT s=%s ack=%d", s.vars["s"], 4096*(i+1)))
			}
		}
		s.play(`
			A> RDAT s={s} end=1
			B< RDAT s={s} end=1`)
	}),
	relayCase("several", "streams have numbers of their own, which are not used again", false, func(s *serverCase) {
		s.relayed()
		s.play(`
			A> RDAT s={s} end=1
			B< RDAT s={s} end=1
			A> RLAY n=8 user={B}
			A< 200 n=8 s=@t
			B< RLAY user={A} s={t}
			A> RLAY n=9 user={B}
			A< 200 n=9 s=@u
			B< RLAY user={A} s={u}
			differ {s} {t}
			differ {t} {u}
			A> RDAT s={t} data=AAAA
			A> RDAT s={u} data=AQEB
			B< RDAT s={t} data=AAAA
			B< RDAT s={u} data=AQEB
			B quiet`)
	}),
	relayCase("idle", "a stream ends when 2 minutes have passed without RDAT", true, func(s *serverCase) {
		s.relayed()
		s.play(`
			wait 121s
			A< RDAT s={s} end=1
			B< RDAT s={s} end=1`)
	}),
}
