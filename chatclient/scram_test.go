package chatclient_test

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parleyproto/parley/chatclient"
	"github.com/parleyproto/parley/chatproto"
)

// A script of a server that may be wrong in one place: what it answers to the
// first message of a login, and to the proof. "" closes the connection.
type scramScript struct {
	first func(v *verifier) string
	final func(v *verifier, proof, signature string) string
}

// run logs a client in, and returns what the server saw, and the error.
func (s scramScript) run(t *testing.T) (saw []string, err error) {
	t.Helper()
	srv := newServer(t)
	d := dial(t, srv.config())
	l := srv.link()
	done := make(chan struct{})
	go func() {
		defer close(done)
		l.play(helloScram)
		line := l.read()
		saw = append(saw, line)
		v := newVerifier("secret", "salt", 4096)
		if err := v.first(fieldOf(line, "data")); err != nil {
			t.Error(err)
		}
		answer := s.first(v)
		for answer != "" {
			fmt.Fprint(l.nc, answer+"\r\n")
			if line = l.read(); line == "" {
				break
			}
			saw = append(saw, line)
			proof := fieldOf(line, "data")
			signature, ok := v.final(proof, nil)
			if !ok {
				t.Errorf("the proof is wrong: %s", line)
			}
			answer = s.final(v, proof, signature)
		}
		l.nc.Close()
	}()
	got := <-d
	if got.err == nil {
		end(got.c)
	}
	<-done
	return saw, got.err
}

func fieldOf(line, key string) string {
	var f chatproto.Frame
	if chatproto.Parse(&f, []byte(line)) != nil {
		return ""
	}
	return f.Value(key)
}

const welcomeScram = "230 user=B new=1 known=0 high=0 mail=0 "

// A server that does not prove that it knows the account is not believed, and
// one that asks for too little or too much is not given a proof.
func TestServerProof(t *testing.T) {
	honest := func(v *verifier) string { return "334 data=" + v.challenge("server") }
	challenge := func(edit func(r, s, i string) string) func(*verifier) string {
		return func(v *verifier) string {
			parts := strings.Split(v.challenge("server"), ",")
			return "334 data=" + edit(parts[0], parts[1], parts[2])
		}
	}
	iterations := func(i string) func(*verifier) string {
		return challenge(func(r, s, _ string) string { return r + "," + s + ",i=" + i })
	}
	var older string // the signature of another login
	tests := []struct {
		name   string
		script scramScript
		proof  bool // it is given one
		want   error
	}{
		{"honest", scramScript{honest, func(_ *verifier, _, signature string) string {
			older = signature
			return welcomeScram + "data=" + signature
		}}, true, nil},

		{"not a challenge", scramScript{first: func(*verifier) string { return "334 data=nonsense" }}, false, chatclient.ErrServerProof},
		{"no data", scramScript{first: func(*verifier) string { return "334" }}, false, chatclient.ErrServerProof},
		{"an extension", scramScript{first: challenge(func(r, s, i string) string { return "m=x," + r + "," + s + "," + i })}, false, chatclient.ErrServerProof},
		{"one field too many", scramScript{first: challenge(func(r, s, i string) string { return r + "," + s + "," + i + ",x=y" })}, false, chatclient.ErrServerProof},
		{"another order", scramScript{first: challenge(func(r, s, i string) string { return s + "," + r + "," + i })}, false, chatclient.ErrServerProof},
		{"the client's nonce alone", scramScript{first: func(v *verifier) string { return "334 data=" + v.challenge("") }}, false, chatclient.ErrServerProof},
		{"another nonce", scramScript{first: challenge(func(r, s, i string) string { return "r=X" + r[3:] + "," + s + "," + i })}, false, chatclient.ErrServerProof},
		{"a nonce too short", scramScript{first: challenge(func(r, s, i string) string { return r[:10] + "," + s + "," + i })}, false, chatclient.ErrServerProof},
		{"no salt", scramScript{first: challenge(func(r, _, i string) string { return r + ",s=," + i })}, false, chatclient.ErrServerProof},
		{"a salt that is no base64", scramScript{first: challenge(func(r, _, i string) string { return r + ",s=?," + i })}, false, chatclient.ErrServerProof},
		{"a salt with bits left over", scramScript{first: challenge(func(r, _, i string) string { return r + ",s=c2FsdB==," + i })}, false, chatclient.ErrServerProof},
		{"no iterations", scramScript{first: iterations("")}, false, chatclient.ErrServerProof},
		{"iterations that are no number", scramScript{first: iterations("4096x")}, false, chatclient.ErrServerProof},
		{"a sign", scramScript{first: iterations("+4096")}, false, chatclient.ErrServerProof},
		{"a leading zero", scramScript{first: iterations("04096")}, false, chatclient.ErrServerProof},
		{"negative iterations", scramScript{first: iterations("-4096")}, false, chatclient.ErrServerProof},
		{"one iteration", scramScript{first: iterations("1")}, false, chatclient.ErrServerProof},
		{"too few iterations", scramScript{first: iterations("4095")}, false, chatclient.ErrServerProof},
		{"too many iterations", scramScript{first: iterations("600001")}, false, chatclient.ErrServerProof},
		{"far too many iterations", scramScript{first: iterations("99999999999999999999")}, false, chatclient.ErrServerProof},
		{"welcome without a proof", scramScript{first: func(*verifier) string { return welcomeScram + "data=v=AAAA" }}, false, chatclient.ErrServerProof},
		{"another mechanism's step", scramScript{first: func(*verifier) string { return "331 :Password:" }}, false, nil},

		{"no signature", scramScript{honest, func(*verifier, string, string) string { return welcomeScram[:len(welcomeScram)-1] }}, true, chatclient.ErrServerProof},
		{"an empty signature", scramScript{honest, func(*verifier, string, string) string { return welcomeScram + "data=v=" }}, true, chatclient.ErrServerProof},
		{"another signature", scramScript{honest, func(_ *verifier, _, s string) string { return welcomeScram + "data=v=" + swap(s[2:]) }}, true, chatclient.ErrServerProof},
		{"half a signature", scramScript{honest, func(_ *verifier, _, s string) string { return welcomeScram + "data=" + s[:22] + "==" }}, true, chatclient.ErrServerProof},
		{"a replayed signature", scramScript{honest, func(*verifier, string, string) string { return welcomeScram + "data=" + older }}, true, chatclient.ErrServerProof},
		{"another password's signature", scramScript{honest, func(v *verifier, proof, _ string) string {
			w := *newVerifier("Secret", "salt", 4096)
			w.said = v.said
			without, _, _ := strings.Cut(proof, ",p=")
			return welcomeScram + "data=v=" + b64(sign(w.serverKey, w.said+","+without))
		}}, true, chatclient.ErrServerProof},
		{"the proof sent back", scramScript{honest, func(_ *verifier, proof, _ string) string {
			_, p, _ := strings.Cut(proof, ",p=")
			return welcomeScram + "data=v=" + p
		}}, true, chatclient.ErrServerProof},
		{"an error of SCRAM", scramScript{honest, func(*verifier, string, string) string { return welcomeScram + "data=e=other-error" }}, true, chatclient.ErrServerProof},
		{"a step too many", scramScript{honest, func(_ *verifier, _, s string) string { return "334 data=" + s }}, true, chatclient.ErrServerProof},
	}
	synctest.Test(t, func(t *testing.T) {
		for _, test := range tests {
			saw, err := test.script.run(t)
			wantErr := test.name != "honest"
			if (err != nil) != wantErr || test.want != nil && !errors.Is(err, test.want) {
				t.Errorf("%s: %v", test.name, err)
			}
			if proved := len(proofs(saw)) > 0; proved != test.proof {
				t.Errorf("%s: the server saw %q", test.name, saw)
			}
		}
	})
}

// swap changes one letter.
func swap(s string) string {
	if s[0] == 'A' {
		return "B" + s[1:]
	}
	return "A" + s[1:]
}

// The bounds of the iterations are in.
func TestIterations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, n := range []int{4096, 600_000} {
			srv := newServer(t)
			d := dial(t, srv.config())
			l := srv.link()
			l.play(helloScram)
			v := newVerifier("secret", "salt", 1)
			if err := v.first(l.field("data")); err != nil {
				t.Error(err)
			}
			v.iterations = n
			l.play("S: 334 data=" + v.challenge("server"))
			if proof := l.field("data"); !strings.Contains(proof, ",p=") {
				t.Errorf("for %d the client gives %q", n, proof)
			}
			l.play("S: <close>")
			<-d
		}
	})
}

// Each mechanism is chosen where it is the best that can be used, whatever the
// server's order, and each has the flag that tells the server what the client
// could have done.
func TestMechanism(t *testing.T) {
	for _, test := range []struct {
		offered string
		tls     bool
		local   bool
		want    string // how AUTH begins; "" for none
		err     error
	}{
		{"SCRAM-SHA-256-PLUS,SCRAM-SHA-256,PLAIN", true, false, "mech=SCRAM-SHA-256-PLUS user=B data=p=tls-exporter,,n=B,r=", nil},
		{"PLAIN,SCRAM-SHA-256,SCRAM-SHA-256-PLUS", true, false, "mech=SCRAM-SHA-256-PLUS user=B data=p=tls-exporter,,n=B,r=", nil},
		{"SCRAM-SHA-256,PLAIN", true, false, "mech=SCRAM-SHA-256 user=B data=y,,n=B,r=", nil},
		{"PLAIN", true, false, "mech=PLAIN user=B pass=secret", nil},
		{"X,PLAIN,Y", true, false, "mech=PLAIN user=B pass=secret", nil},
		{"SCRAM-SHA-512", true, false, "", errors.New("both the server and this client know: it offers SCRAM-SHA-512")},
		{"SCRAM-SHA-256-PLUS,SCRAM-SHA-256,PLAIN", false, true, "mech=SCRAM-SHA-256 user=B data=n,,n=B,r=", nil},
		{"SCRAM-SHA-256-PLUS,PLAIN", false, true, "mech=PLAIN user=B pass=secret", nil},
		{"SCRAM-SHA-256", false, false, "mech=SCRAM-SHA-256 user=B data=n,,n=B,r=", nil},
		{"SCRAM-SHA-256-PLUS", false, false, "", errors.New("bound to TLS, and this connection is in cleartext")},
		{"PLAIN", false, false, "", chatclient.ErrCleartext},
		{"SCRAM-SHA-256-PLUS,PLAIN", false, false, "", chatclient.ErrDowngrade},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := newFar(t, selfMade(t, newKey(t), year1999, year2001))
			s.mech, s.clear = test.offered, true
			cfg := farConfig(s.dial)
			if test.local {
				cfg = farConfig(local(s.dial))
			}
			if test.tls {
				cfg.Fingerprint = fingerprint(s.tls.Certificates[0])
			} else {
				cfg.Cleartext = chatclient.CleartextAlways
			}
			err := tryDial(t, cfg)
			lines := s.lines()
			switch {
			case test.want == "":
				if err == nil || !errors.Is(err, test.err) && !strings.Contains(err.Error(), test.err.Error()) || len(lines) != 1 {
					t.Errorf("%+v: %v; the server saw %q", test, err, lines)
				}
			case err != nil || !strings.HasPrefix(lines[1], "AUTH "+test.want):
				t.Errorf("%+v: %v; the server saw %q", test, err, lines)
			}
		})
	}
}

// A name may have the characters that SCRAM escapes, a password any. A nonce is
// used once.
func TestScramNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seen := map[string]bool{}
		for range 3 {
			srv := newServer(t)
			cfg := srv.config()
			cfg.User, cfg.Password = "a,b=c", "n\u0303 =,\u00a0x"
			d := dial(t, cfg)
			l := srv.link()
			l.play(helloScram)
			data := l.field("data")
			v := newVerifier("\u00f1 =, x", "salt", 4096) // composed, and with a plain space: as OpaqueString has it
			if err := v.first(data); err != nil || v.user != cfg.User || !strings.Contains(data, "n=a=2Cb=3Dc,") {
				t.Errorf("%q: %v", data, err)
			}
			if form := regexp.MustCompile(`^[A-Za-z0-9+/]{67}=$`); !form.MatchString(v.nonce) || seen[v.nonce[:24]] {
				t.Errorf("the nonce is %q", v.nonce)
			}
			seen[v.nonce[:24]] = true
			l.play("S: 334 data=" + v.challenge("server"))
			signature, ok := v.final(l.field("data"), nil)
			if !ok {
				t.Error("the proof is wrong")
			}
			l.play("S: 230 user=a,b=c new=1 known=0 high=0 mail=0 data=" + signature)
			got := <-d
			if got.err != nil {
				t.Fatal(got.err)
			}
			end(got.c)
		}
	})
}

// A wrong password is asked for again, on the same connection, with a new
// nonce.
func TestScramAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFar(t, selfMade(t, newKey(t), year1999, year2001))
		cfg := farConfig(s.dial)
		cfg.Fingerprint = fingerprint(s.tls.Certificates[0])
		cfg.Password = ""
		passwords := []string{"", "Secret", "secret"}
		cfg.Credentials = func(_ context.Context, refused *chatproto.Error) (string, string, error) {
			password := passwords[0]
			passwords = passwords[1:]
			return farUser, password, nil
		}
		if err := tryDial(t, cfg); err != nil || len(passwords) != 0 {
			t.Fatal(err)
		}
		if lines := s.lines(); len(lines) != 7 || lines[1] == lines[3] {
			t.Errorf("the server saw %q", lines)
		}
	})
}

// The login after a lost connection brings the token of the one before, and
// only that; what was derived from the password is kept.
func TestReconnectLogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFar(t, selfMade(t, newKey(t), year1999, year2001))
		cfg := farConfig(s.dial)
		cfg.Fingerprint = fingerprint(s.tls.Certificates[0])
		c, err := chatclient.Dial(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer end(c)
		keys, _ := c.Keys()
		reconnect := func() {
			s.hangUp()
			time.Sleep(time.Minute)
			synctest.Wait()
		}
		for range 3 {
			reconnect()
		}
		var tokens []string
		for _, line := range s.lines() {
			if strings.HasPrefix(line, "AUTH mech=") {
				tokens = append(tokens, fieldOf(line, "token"))
			}
		}
		want := fmt.Sprintf("[ %032x %032x %032x]", 1, 2, 3)
		if fmt.Sprint(tokens) != want {
			t.Errorf("the tokens were %v", tokens)
		}
		if again, salts := c.Keys(); again != keys || salts != 1 {
			t.Errorf("keys of %d salts are kept", salts)
		}
		for i := range 20 { // a server cannot have us keep more and more
			s.mu.Lock()
			s.salt = fmt.Sprint("salt", i)
			s.mu.Unlock()
			reconnect()
			if _, salts := c.Keys(); salts > 5 {
				t.Fatalf("keys of %d salts are kept", salts)
			}
		}
	})
}

// A token that is too long to be one is not kept.
func TestToken(t *testing.T) {
	for n, kept := range map[int]bool{63: true, 64: true, 65: false} {
		synctest.Test(t, func(t *testing.T) {
			srv := newServer(t)
			d := dial(t, srv.config())
			l := srv.link()
			token := strings.Repeat("a", n)
			l.play(hello + "S: 230 user=B new=1 known=0 high=0 mail=0 token=" + token + "\nS: <close>")
			l = srv.link()
			l.play("C: HELO v=1 acks=1 beat=30000\nS: 220 v=1 mech=PLAIN boot=9c t=0")
			if got := l.field("token"); (got == token) != kept {
				t.Errorf("of %d octets: %q", n, got)
			}
			end((<-d).c)
		})
	}
}

// After its first error a login is over: nothing that the server says later
// makes it good, although the library's conversation might be.
func TestScramIsOverAfterAnError(t *testing.T) {
	for _, test := range []struct {
		name string
		do   func(c *chatclient.Conversation, challenge string) error // what must fail first
	}{
		{"nothing", func(c *chatclient.Conversation, challenge string) error { return nil }},
		{"another's challenge", func(c *chatclient.Conversation, challenge string) error {
			_, err := c.Next("r=another" + strings.TrimPrefix(challenge, "r="))
			return err
		}},
		{"a challenge that is none", func(c *chatclient.Conversation, _ string) error { _, err := c.Next("e=other-error"); return err }},
		{"few iterations", func(c *chatclient.Conversation, challenge string) error {
			_, err := c.Next(strings.Replace(challenge, "i=4096", "i=1", 1))
			return err
		}},
		{"accepted before the proof", func(c *chatclient.Conversation, _ string) error { return c.Done("v=AAAA") }},
		{"a wrong signature", func(c *chatclient.Conversation, challenge string) error {
			if _, err := c.Next(challenge); err != nil {
				return nil
			}
			return c.Done("v=" + strings.Repeat("A", 43) + "=")
		}},
		{"no signature", func(c *chatclient.Conversation, challenge string) error {
			if _, err := c.Next(challenge); err != nil {
				return nil
			}
			return c.Done("")
		}},
		{"a second challenge", func(c *chatclient.Conversation, challenge string) error {
			if _, err := c.Next(challenge); err != nil {
				return nil
			}
			_, err := c.Next(challenge)
			return err
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, err := chatclient.NewConversation("B", "secret")
			if err != nil {
				t.Fatal(err)
			}
			v := newVerifier("secret", "salt", 4096)
			if err := v.first(c.First); err != nil {
				t.Fatal(err)
			}
			challenge := v.challenge("server")
			good := test.name == "nothing"
			if err := test.do(c, challenge); (err == nil) != good || !good && !errors.Is(err, chatclient.ErrServerProof) {
				t.Fatal(err)
			}
			proof, err := c.Next(challenge)
			if (err == nil) != good || !good && proof != "" {
				t.Fatalf("a proof is given: %q, %v", proof, err)
			}
			signature := "v=" + strings.Repeat("A", 43) + "="
			if good {
				signature, _ = v.final(proof, nil)
			}
			if err := c.Done(signature); (err == nil) != good {
				t.Errorf("done: %v", err)
			}
		})
	}
}

// The right signature does not mend a login in which a wrong one was seen.
func TestScramSecondSignature(t *testing.T) {
	c, err := chatclient.NewConversation("B", "secret")
	if err != nil {
		t.Fatal(err)
	}
	v := newVerifier("secret", "salt", 4096)
	if err := v.first(c.First); err != nil {
		t.Fatal(err)
	}
	proof, err := c.Next(v.challenge("server"))
	if err != nil {
		t.Fatal(err)
	}
	signature, ok := v.final(proof, nil)
	if !ok {
		t.Fatal("the proof is wrong")
	}
	for _, s := range []string{"v=" + strings.Repeat("A", 43) + "=", signature, signature} {
		if err := c.Done(s); !errors.Is(err, chatclient.ErrServerProof) {
			t.Errorf("%s: %v", s, err)
		}
	}
}
