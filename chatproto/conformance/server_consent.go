package conformance

import "fmt"

// listenCases are about LSTN.
var listenCases = []Case{
	{Name: "listen/ports", Section: "3.4", Rule: "LSTN takes ports from 1024 to 65535", server: func(s *serverCase) {
		a := s.login("A")
		for n, c := range []struct{ port, code string }{
			{"1024", "200"}, {"65535", "200"}, {"28403", "200"}, {"1023", "501"}, {"65536", "501"}, {"0", "501"}, {"80", "501"},
			{"", "501"}, {"x", "501"}, {"02840", "501"}, {"-1", "501"}, {"4294996000", "501"},
		} {
			a.send(fmt.Sprintf("LSTN n=%d port=%s", n+1, c.port))
			a.want(fmt.Sprintf("%s n=%d", c.code, n+1))
		}
	}},
	{Name: "listen/ends-with-session", Section: "7.1", Rule: "a listening address belongs to the session", script: `
		B login
		B> LSTN port=28403
		B< 200
		B quit
		B2 login
		A login
		A> ADDR user={B}
		A< 202
		B2< RQST user={A}
		B2> CNST user={A}
		B2< 501`},
	{Name: "listen/kept", Section: "7.1", Rule: "a session that goes on keeps its listening address", script: `
		B login origin=b2{hex}
		B> LSTN port=28403
		B< 200
		B cut
		B2 login origin=b2{hex} / new=0
		A login
		A> ADDR user={B}
		A< 202
		B2< RQST user={A}
		B2> CNST user={A}
		B2< 200
		A< GETA user={B} port=28403`},
}

// granted brings the pair of asker A and owner B to Granted.
const granted = `
	A login
	B login
	B> LSTN port=28403
	B< 200
	A> ADDR user={B}
	A< 202
	B< RQST user={A}
	B> CNST user={A}
	B< 200
	A< GETA user={B} port=28403 addr=@addr ttl=@ttl
	`

// consentCases are about ADDR, RQST, CNST and GETA.
var consentCases = []Case{
	{Name: "consent/oneself", Section: "4.6", Rule: "ADDR of oneself is answered 501", script: `
		A login
		A> ADDR n=1 user={A}
		A< 501 n=1 :Invalid request`},
	{Name: "consent/no-such-user", Section: "4.6", Rule: "ADDR of a user who does not exist is answered 550", script: `
		A login
		A> ADDR n=1 user={nobody}
		A< 550 n=1 :{nobody} is not a valid user.`},
	{Name: "consent/offline", Section: "4.6", Rule: "ADDR of a user without a session is answered 551", script: `
		A login
		A> ADDR n=1 user={C}
		A< 551 n=1 :{C} is not online.`},
	{Name: "consent/asked", Section: "8.2", Rule: "ADDR is answered 202, and the owner gets RQST", script: `
		A login
		B login
		A> ADDR n=1 user={B}
		A< 202 n=1
		B< RQST user={A} :{A} is requesting a private chat. To share your IP and port with them, reply saying 'consent {A}'`},
	{Name: "consent/asked-again", Section: "8.2", Rule: "ADDR while a request is pending is answered 202, with RQST once a minute only", script: `
		A login
		B login
		A> ADDR n=1 user={B}
		A< 202 n=1
		B< RQST user={A}
		A> ADDR n=2 user={B}
		A< 202 n=2
		A> ADDR n=3 user={B}
		A< 202 n=3
		B quiet`},
	{Name: "consent/asked-after-a-minute", Section: "8.2", Slow: true, Rule: "a minute after the last RQST, ADDR sends another", script: `
		A login
		B login
		A> ADDR n=1 user={B}
		A< 202 n=1
		B< RQST user={A}
		wait 61s
		A> ADDR n=2 user={B}
		A< 202 n=2
		B< RQST user={A}`},
	{Name: "consent/not-asked", Section: "4.6", Rule: "CNST to a user who has not asked, or does not exist, is answered 554", script: `
		A login
		B login
		B> CNST n=1 user={A}
		B< 554 n=1 :{A} has not requested a P2P chat with you. Use the getaddress command to start one
		B> CNST n=2 user={nobody}
		B< 554 n=2
		B> CNST n=3 user={B}
		B< 554 n=3
		A quiet`},
	{Name: "consent/granted", Section: "8.2", Rule: "CNST is answered 200, and the asker gets GETA with address, port and time", server: func(s *serverCase) {
		s.play(granted)
		ttl := s.vars["ttl"]
		if len(ttl) > 6 || ttl > "600000" && len(ttl) == 6 || len(ttl) < 6 {
			s.failf("A: ttl=%s of a new consent; wanted 600000 or a little less", ttl)
		}
	}},
	{Name: "consent/description", Section: "4.6", Rule: "the description of GETA is port, address and name", server: func(s *serverCase) {
		s.play(granted + `
			A> ADDR user={B}
			A< 202
			A< GETA user={B} addr={addr} :28403 {addr} {B}`)
	}},
	{Name: "consent/does-not-listen", Section: "4.6", Rule: "CNST without LSTN is answered 501, and the request stays pending", script: `
		A login
		B login
		A> ADDR user={B}
		A< 202
		B< RQST user={A}
		B> CNST n=1 user={A}
		B< 501 n=1 :You do not listen for private chats
		B> LSTN port=28403
		B< 200
		B> CNST n=2 user={A}
		B< 200 n=2
		A< GETA user={B}`},
	{Name: "consent/asked-when-granted", Section: "8.2", Rule: "ADDR while a consent is in force is answered 202, and GETA with what is left of it", server: func(s *serverCase) {
		s.play(granted)
		first := s.vars["ttl"]
		s.sleep(s.opts.Quiet / 5)
		s.play(`
			A> ADDR n=5 user={B}
			A< 202 n=5
			A< GETA user={B} port=28403 addr={addr} ttl=@ttl
			B quiet`)
		if again := s.vars["ttl"]; len(again) > len(first) || len(again) == len(first) && again > first {
			s.failf("A: ttl=%s after ttl=%s", again, first)
		}
	}},
	{Name: "consent/granted-again", Section: "8.2", Rule: "CNST while a consent is in force is answered 200, and GETA does not prolong it", server: func(s *serverCase) {
		s.play(granted)
		first := s.vars["ttl"]
		s.sleep(s.opts.Quiet / 5)
		s.play(`
			B> CNST n=5 user={A}
			B< 200 n=5
			A< GETA user={B} ttl=@ttl`)
		if again := s.vars["ttl"]; len(again) > len(first) || len(again) == len(first) && again > first {
			s.failf("A: ttl=%s after ttl=%s", again, first)
		}
	}},
	{Name: "consent/direction", Section: "8.1", Rule: "a consent has a direction: the owner may not write to the asker for it", server: func(s *serverCase) {
		s.play(granted + `
			A> CNST user={B}
			A< 554
			A> LSTN port=28404
			A< 200
			B quiet
			B> ADDR user={A}
			B< 202
			A< RQST user={B}`)
	}},
	{Name: "consent/third", Section: "8.1", Rule: "a consent is for one asker", server: func(s *serverCase) {
		s.play(granted + `
			C login
			B> CNST user={C}
			B< 554
			C> ADDR user={B}
			C< 202
			B< RQST user={C}
			C quiet`)
	}},
	{Name: "consent/blocked-asker", Section: "4.6", Rule: "an asker who is blocked does not reach the owner", script: `
		A login
		B login
		B> BLOK user={A}
		B< 200
		A> ADDR n=1 user={B}
		A drain 1
		B quiet`},
	{Name: "consent/asker-blocks", Section: "8.2", Rule: "the asker's block of the owner makes CNST 553, and changes nothing else", server: func(s *serverCase) {
		s.skipIfHidden()
		s.play(`
			A login
			B login
			B> LSTN port=28403
			B< 200
			A> ADDR user={B}
			A< 202
			B< RQST user={A}
			A> BLOK user={B}
			A< 200
			B> CNST n=2 user={A}
			B< 553 n=2 :Blocked by {A}
			A> UBLK user={B}
			A< 200
			B> CNST n=3 user={A}
			B< 200 n=3
			A< GETA user={B}`)
	}},
	{Name: "consent/kept-by-session", Section: "7.1", Rule: "a session that goes on keeps its consents", script: `
		A login
		B login origin=b2{hex}
		B> LSTN port=28403
		B< 200
		A> ADDR user={B}
		A< 202
		B< RQST user={A}
		B cut
		B2 login origin=b2{hex} / new=0
		B2> CNST user={A}
		B2< 200
		A< GETA user={B}
		A quiet`},
}

// revokeCases are about the ends of consents.
var revokeCases = []Case{
	{Name: "revoke/none", Section: "4.6", Rule: "RVKE is answered 200 whether there was a consent or not, and whether the user exists or not", script: `
		A login
		B login
		B> RVKE n=1 user={A}
		B< 200 n=1
		B> RVKE n=2 user={nobody}
		B< 200 n=2
		B> RVKE n=3 user={B}
		B< 200 n=3
		A quiet`},
	{Name: "revoke/granted", Section: "8.2", Rule: "RVKE ends a consent with RVKD why=revoked to both", script: granted + `
		B> RVKE n=9 user={A}
		B< 200 n=9
		B< RVKD user={A} owner={B} why=revoked
		A< RVKD user={B} owner={B} why=revoked
		B> CNST user={A}
		B< 554`},
	{Name: "revoke/requested", Section: "8.2", Rule: "RVKE turns a request down, and nobody is told", script: `
		A login
		B login
		B> LSTN port=28403
		B< 200
		A> ADDR user={B}
		A< 202
		B< RQST user={A}
		B> RVKE user={A}
		B< 200
		B> CNST user={A}
		B< 554
		A quiet
		A> ADDR user={B}
		A< 202
		B< RQST user={A}`},
	{Name: "revoke/by-the-asker", Section: "8.2", Rule: "RVKE is the owner's: from the asker it changes nothing", script: granted + `
		A> RVKE user={B}
		A< 200
		B quiet
		A> ADDR user={B}
		A< 202
		A< GETA user={B}`},
	{Name: "revoke/block", Section: "8.2", Rule: "the owner's block ends a consent with RVKD why=blocked, under the policy hide why=gone, to both", server: func(s *serverCase) {
		s.vars["why"] = "blocked"
		if s.suite.hides {
			s.vars["why"] = "gone"
		}
		s.play(granted + `
			B> BLOK user={A}
			B< 200
			B< RVKD user={A} owner={B} why={why}
			A< RVKD user={B} owner={B} why={why}
			B> UBLK user={A}
			B< 200
			B> CNST user={A}
			B< 554`)
	}},
	{Name: "revoke/block-requested", Section: "8.2", Rule: "the owner's block ends a request, and nobody is told", script: `
		A login
		B login
		B> LSTN port=28403
		B< 200
		A> ADDR user={B}
		A< 202
		B< RQST user={A}
		B> BLOK user={A}
		B< 200
		B> UBLK user={A}
		B< 200
		B> CNST user={A}
		B< 554
		A quiet`},
	{Name: "revoke/owner-quits", Section: "8.2", Rule: "the owner's logout ends a consent with RVKD why=gone", script: granted + `
		B quit
		A< RVKD user={B} owner={B} why=gone`},
	{Name: "revoke/asker-quits", Section: "8.2", Rule: "the asker's logout ends a consent with RVKD why=gone", script: granted + `
		A quit
		B< RVKD user={A} owner={B} why=gone
		B> CNST user={A}
		B< 554`},
	{Name: "revoke/request-quits", Section: "8.2", Rule: "a logout ends a request, and nobody is told", script: `
		A login
		B login
		B> LSTN port=28403
		B< 200
		A> ADDR user={B}
		A< 202
		B< RQST user={A}
		A quit
		B> CNST user={A}
		B< 554
		B quiet`},
	{Name: "revoke/moved", Section: "8.2", Rule: "another listening port ends a consent with RVKD why=gone to both", script: granted + `
		B> LSTN port=28404
		B< 200
		B< RVKD user={A} owner={B} why=gone
		A< RVKD user={B} owner={B} why=gone
		B> CNST user={A}
		B< 554`},
	{Name: "revoke/not-moved", Section: "8.2", Rule: "LSTN with the port that is registered changes nothing", script: granted + `
		B> LSTN port=28403
		B< 200
		A quiet
		A> ADDR user={B}
		A< 202
		A< GETA user={B} port=28403`},
	{Name: "revoke/moved-requested", Section: "8.2", Rule: "another listening port leaves a request pending", script: `
		A login
		B login
		B> LSTN port=28403
		B< 200
		A> ADDR user={B}
		A< 202
		B< RQST user={A}
		B> LSTN port=28404
		B< 200
		B> CNST user={A}
		B< 200
		A< GETA user={B} port=28404`},
	{Name: "revoke/replaced", Section: "8.2", Rule: "a login from another origin ends a consent with RVKD why=gone", script: granted + `
		B cut
		B2 login / new=1
		A< RVKD user={B} owner={B} why=gone`},
	{Name: "revoke/expired", Section: "8.2", Slow: true, Rule: "a consent ends after 10 minutes with RVKD why=expired to both", script: granted + `
		wait 9m55s
		A quiet
		wait 10s
		B< RVKD user={A} owner={B} why=expired
		A< RVKD user={B} owner={B} why=expired
		B> CNST user={A}
		B< 554`},
	{Name: "revoke/request-expired", Section: "8.2", Slow: true, Rule: "a request ends after 10 minutes, and nobody is told", script: `
		A login
		B login
		B> LSTN port=28403
		B< 200
		A> ADDR user={B}
		A< 202
		B< RQST user={A}
		wait 10m1s
		B> CNST user={A}
		B< 554
		A quiet`},
}
