package conformance

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
)

// An identity is a client's key for private lines (SPEC section 8.6).
type identity ed25519.PrivateKey

func newIdentity() identity {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err) // there is no randomness
	}
	return identity(key)
}

func (id identity) String() string {
	return "ed25519:" + hex.EncodeToString(ed25519.PrivateKey(id).Public().(ed25519.PublicKey))
}

// sign proves that the client of a link has the key (SPEC section 4.6, LSTN).
func (id identity) sign(lines ...string) string {
	return base64.StdEncoding.EncodeToString(ed25519.Sign(ed25519.PrivateKey(id), []byte(strings.Join(lines, "\n"))))
}

// proves are the lines that are signed on a link.
func (id identity) proves(l *link) []string {
	where := "cleartext:" + l.hello.frame.Value("boot") + ":" + strings.TrimLeft(l.s.vars[l.name+".origin"], "0")
	if binding := exported(l); binding != nil {
		where = "tls-exporter:" + base64.StdEncoding.EncodeToString(binding)
	}
	return []string{"parley LSTN 1", where, l.account.User, id.String()}
}

// register is the LSTN that registers a key on a link.
func (id identity) register(l *link, fields string) string {
	return "LSTN " + fields + "key=" + id.String() + " sig=" + id.sign(id.proves(l)...)
}

// identified logs A, the asker, and B, the owner, in, with keys {A.key} and
// {B.key}.
func (s *serverCase) identified() (a, b *link, ka, kb identity) {
	a, b, ka, kb = s.login("A", "caps=relay"), s.login("B", "caps=relay", "origin=b2"+s.vars["hex"]), newIdentity(), newIdentity()
	s.vars["A.key"], s.vars["B.key"] = ka.String(), kb.String()
	a.send(ka.register(a, ""))
	a.want("200")
	b.send(kb.register(b, "port=28403 "))
	b.want("200")
	return a, b, ka, kb
}

// consented brings the pair of identified to Granted.
const consented = `
	A> ADDR user={B}
	A< 202
	B< RQST user={A} key={A.key}
	B> CNST user={A}
	B< 200 key={A.key} ttl=*
	A< GETA user={B} port=28403 key={B.key}
	`

// keyCases are about identities.
var keyCases = []Case{
	{Name: "key/given", Section: "4.6", Rule: "the key that a client has proved is given to the other: in RQST, GETA and the answer to CNST", server: func(s *serverCase) {
		s.identified()
		s.play(consented)
	}},
	{Name: "key/of-the-connection", Section: "4.6", Rule: "a proof made for another connection, user, key or purpose is answered 501", server: func(s *serverCase) {
		a := s.login("A")
		id, other := newIdentity(), newIdentity()
		for i := range 5 {
			lines := id.proves(a)
			switch i {
			case 0:
				lines[0] = "parley LSTN 2"
			case 1:
				lines[1] += "0"
			case 2:
				lines[2] = s.target.Accounts[1].User
			case 3:
				lines[3] = other.String()
			case 4:
				lines = append(lines, "")
			}
			a.send("LSTN port=28403 key=" + id.String() + " sig=" + id.sign(lines...))
			a.want("501")
		}
		a.send("LSTN port=28403 key=" + id.String() + " sig=" + other.sign(id.proves(a)...))
		a.want("501")
		a.send(id.register(a, "port=28403 "))
		a.want("200")
	}},
	{Name: "key/fields", Section: "4.6", Rule: "LSTN has port= or key=, key= with sig=, cand= with port=; else 501", server: func(s *serverCase) {
		a := s.login("A")
		id := newIdentity()
		sig := id.sign(id.proves(a)...)
		for _, fields := range []string{"cand=192.0.2.1:2000", "sig=" + sig, "key=" + id.String(), "port=28403 sig=" + sig,
			"port=28403 key=" + id.String(), "key=" + id.String() + " sig=" + sig + " cand=192.0.2.1:2000"} {
			a.send("LSTN n=1 " + fields)
			a.want("501 n=1")
		}
	}},
	{Name: "key/malformed", Section: "3.4", Rule: "a key or a signature that is not well-formed is answered 501", server: func(s *serverCase) {
		a := s.login("A")
		id := newIdentity()
		key, sig := id.String(), id.sign(id.proves(a)...)
		for _, f := range [][2]string{{strings.ToUpper(key[8:]), sig}, {"ed25519:" + strings.ToUpper(key[8:]), sig}, {key[:len(key)-1], sig},
			{key + "0", sig}, {"ed448:" + key[8:], sig}, {"", sig}, {key, ""}, {key, sig[:len(sig)-1]}, {key, "####"}, {key, sig + "AAAA"}} {
			if strings.ToUpper(key[8:]) == key[8:] {
				s.skipf("the key has no letters")
			}
			a.send("LSTN port=28403 key=" + f[0] + " sig=" + f[1])
			a.want("501")
		}
	}},
	{Name: "key/not-listening", Section: "4.6", Rule: "who has registered a key and no port does not listen", server: func(s *serverCase) {
		a, b := s.login("A"), s.login("B")
		b.send(newIdentity().register(b, ""))
		b.want("200")
		a.send("ADDR user=" + s.vars["B"])
		a.want("202")
		b.want("RQST user=" + s.vars["A"] + " !key")
		b.send("CNST user=" + s.vars["A"])
		b.want("501")
	}},
	{Name: "key/none", Section: "4.6", Rule: "who has registered no key is shown without one", script: granted + `
		A> ADDR user={B}
		A< 202
		A< GETA user={B} !key !cand`},
	{Name: "key/asker-changes", Section: "8.2", Rule: "another key of the asker ends a consent with RVKD why=gone to both", server: func(s *serverCase) {
		a, _, _, _ := s.identified()
		s.play(consented)
		a.send(newIdentity().register(a, ""))
		a.want("200")
		s.play(`
			A< RVKD user={B} owner={B} why=gone
			B< RVKD user={A} owner={B} why=gone
			B> CNST user={A}
			B< 554`)
	}},
	{Name: "key/owner-changes", Section: "8.2", Rule: "another key of the owner ends a consent with RVKD why=gone to both", server: func(s *serverCase) {
		_, b, _, _ := s.identified()
		s.play(consented)
		b.send(newIdentity().register(b, "port=28403 "))
		b.want("200")
		s.play(`
			A< RVKD user={B} owner={B} why=gone
			B< RVKD user={A} owner={B} why=gone`)
	}},
	{Name: "key/first", Section: "8.2", Rule: "the first key of an asker ends no request", server: func(s *serverCase) {
		s.play(`
			A login
			B login
			B> LSTN port=28403
			B< 200
			A> ADDR user={B}
			A< 202
			B< RQST user={A} !key`)
		a := s.named["A"]
		id := newIdentity()
		a.send(id.register(a, ""))
		a.want("200")
		s.vars["A.key"] = id.String()
		s.play(`
			B> CNST user={A}
			B< 200 key={A.key}
			A< GETA user={B}`)
	}},
	{Name: "key/same", Section: "8.2", Rule: "an LSTN that says what is already registered changes nothing", server: func(s *serverCase) {
		_, b, _, kb := s.identified()
		s.play(consented)
		b.send(kb.register(b, "port=28403 "))
		b.want("200")
		s.play(`
			A quiet
			A> ADDR user={B}
			A< 202
			A< GETA user={B} key={B.key}`)
	}},
	{Name: "key/revoked-told-again", Section: "8.2", Rule: "after a 230 with new=0 the server sends RVKD again for a consent that has ended", script: granted + `
		B> RVKE user={A}
		B< 200
		B< RVKD user={A} owner={B} why=revoked
		A< RVKD user={B} owner={B} why=revoked
		A cut
		A2 login origin={A.origin} / new=0
		A2< RVKD user={B} owner={B} why=revoked`},
	{Name: "listen/places", Section: "4.6", Rule: "cand= is given to the asker as it is", server: func(s *serverCase) {
		s.play(`
			A login
			B login
			B> LSTN port=28403 cand=192.0.2.1:2000,[2001:db8::1]:65535
			B< 200
			A> ADDR user={B}
			A< 202
			B< RQST user={A}
			B> CNST user={A}
			B< 200
			A< GETA user={B} port=28403 cand=192.0.2.1:2000,[2001:db8::1]:65535
			B> LSTN port=28403 cand=192.0.2.1:2001
			B< 200
			A< RVKD user={B} why=gone
			B< RVKD user={A} why=gone`)
	}},
	{Name: "listen/bad-places", Section: "8.5", Rule: "a place that nobody may dial, or that is none, is answered 501", server: func(s *serverCase) {
		b := s.login("B")
		for n, cand := range []string{"", ",", "192.0.2.1", "192.0.2.1:", "192.0.2.1:80", "192.0.2.1:1023", "192.0.2.1:65536", "192.0.2.1:02000",
			"0.0.0.0:2000", "0.1.2.3:2000", "224.0.0.1:2000", "255.255.255.255:2000", "169.254.169.254:2000", "[fe80::1]:2000", "[ff02::1]:2000",
			"[::]:2000", "100.100.100.200:2000", "168.63.129.16:2000", "192.0.0.192:2000", "[fd00:ec2::254]:2000",
			"[::ffff:169.254.169.254]:2000", "[64:ff9b::a9fe:a9fe]:2000", "[2002:a9fe:a9fe::1]:2000", "2001:db8::1:2000", "host.example:2000",
			"192.0.2.1:2000,192.0.2.2:2000,192.0.2.3:2000,192.0.2.4:2000,192.0.2.5:2000,192.0.2.6:2000,192.0.2.7:2000,192.0.2.8:2000,192.0.2.9:2000",
		} {
			b.send(fmt.Sprintf("LSTN n=%d port=28403 cand=%s", n+1, cand))
			b.want(fmt.Sprintf("501 n=%d", n+1))
		}
	}},
}
