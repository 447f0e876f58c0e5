package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/xdg-go/scram"

	"github.com/parleyproto/parley/chatproto"
	"github.com/parleyproto/parley/chatproto/handshake"
	"github.com/parleyproto/parley/chatserver"
)

// Everything goes over TLS as well, to the server that the fingerprint names
// and to no other.
func TestTLS(t *testing.T) {
	cert, err := chatserver.SelfSigned(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	right := handshake.Fingerprint(cert.Leaf.RawSubjectPublicKeyInfo)
	addr := serve(t, &tls.Config{Certificates: []tls.Certificate{cert}})
	for _, tt := range []struct{ args, want string }{
		{"", ""},
		{"-fingerprint " + right, ""},
		{"-fingerprint " + strings.ToUpper(right[7:]), "usage"},
		{"-fingerprint sha256:" + strings.ToUpper(right[7:]), ""},
		{"-fingerprint sha256:" + strings.Repeat("0", 64), "the server's key is " + right + ", not that of -fingerprint"},
	} {
		args := append(append([]string{}, small...), "-w2", "-tls", "-addr", addr)
		_, err := runBench(t, append(args, strings.Fields(tt.args)...)...)
		switch {
		case tt.want == "usage" && !errors.Is(err, errUsage),
			tt.want == "" && err != nil,
			tt.want != "" && (err == nil || tt.want != "usage" && !strings.Contains(err.Error(), tt.want)):
			t.Errorf("with %q it ends with %v", tt.args, err)
		}
	}
	if _, err := runBench(t, "-w1", "-tls", "-q", "-awake=false", "-addr", serve(t, nil)); err == nil || !strings.Contains(err.Error(), "no TLS with") {
		t.Errorf("a server without TLS: %v", err)
	}
	if _, err := runBench(t, "strangers", "-kind", "never-read,handshake", "-tls", "-conns", "10", "-senders", "2", "-duration", "50ms", "-awake=false", "-q", "-addr", addr); err != nil {
		t.Error(err)
	}
}

// The proof of a login covers what the server offered and, with -PLUS, the
// connection; and the server has to prove itself.
func TestSCRAM(t *testing.T) {
	cert, err := chatserver.SelfSigned(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		why     string
		mech    string
		offered string
		tls     bool
		iter    int
		final   func(string) string // of the server's last message
		flag    string              // how the client's first message begins
		want    string              // "": it is logged in
	}{
		{why: "cleartext", mech: scramSHA, offered: "SCRAM-SHA-256,PLAIN", flag: "n,,n=bench7,r="},
		{why: "bound", mech: scramPlus, offered: "SCRAM-SHA-256-PLUS,SCRAM-SHA-256", tls: true, flag: "p=tls-exporter,,n=bench7,r="},
		{why: "unbound, though it could", mech: scramSHA, offered: "SCRAM-SHA-256-PLUS,SCRAM-SHA-256", tls: true, flag: "n,,"},
		{why: "binding not offered", mech: scramSHA, offered: "SCRAM-SHA-256", tls: true, flag: "y,,"},
		{why: "not offered", mech: scramSHA, offered: "PLAIN", want: "the server offers PLAIN here, not SCRAM-SHA-256"},
		{why: "a false proof", mech: scramSHA, offered: "SCRAM-SHA-256", flag: "n,,", final: func(string) string { return "v=AAAA" }, want: "did not prove"},
		{why: "no proof", mech: scramSHA, offered: "SCRAM-SHA-256", flag: "n,,", final: func(string) string { return "" }, want: "did not prove"},
		{why: "an error for a proof", mech: scramSHA, offered: "SCRAM-SHA-256", flag: "n,,", final: func(string) string { return "e=other-error" }, want: "did not prove"},
		{why: "too few iterations", mech: scramSHA, offered: "SCRAM-SHA-256", flag: "n,,", iter: 4095, want: "too few iterations"},
		{why: "the most iterations", mech: scramSHA, offered: "SCRAM-SHA-256", flag: "n,,", iter: maxIterations},
		{why: "too many iterations", mech: scramSHA, offered: "SCRAM-SHA-256", flag: "n,,", iter: maxIterations + 1, want: "wants 600001 iterations"},
		{why: "far too many iterations", mech: scramSHA, offered: "SCRAM-SHA-256", flag: "n,,", iter: 1 << 40, want: "iterations, which is more than"},
	} {
		t.Run(tt.why, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			s := &scramServer{offered: tt.offered, iterations: max(tt.iter, 4096), final: tt.final}
			if tt.iter == 4095 {
				s.iterations = tt.iter
			}
			if tt.tls {
				l = tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{handshake.ALPN}})
			}
			defer l.Close()
			served := make(chan error, 1)
			go func() { served <- s.serve(l) }()
			args := []string{"-q", "-mech", tt.mech, "-addr", l.Addr().String()}
			if tt.tls {
				args = append(args, "-tls")
			}
			o, err := parseArgs("", args, io.Discard)
			if err != nil {
				t.Fatal(err)
			}
			b := &bench{o: o, stderr: io.Discard, keys: make(map[string]*scram.Client)}
			if tt.tls {
				b.tls = b.tlsConfig()
			}
			c, err := b.login(t.Context(), "bench7", 0xa1, 0)
			if err == nil {
				err = b.quit(c)
			}
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("the login ends with %v, want %q", err, tt.want)
			}
			if err := <-served; err != nil && tt.want == "" {
				t.Errorf("the server: %v", err)
			}
			if !strings.HasPrefix(s.first, tt.flag) {
				t.Errorf("the client's first message is %q, want %s", s.first, tt.flag)
			}
		})
	}
}

// A scramServer serves one login by SCRAM and one QUIT.
type scramServer struct {
	offered    string
	iterations int
	final      func(string) string
	first      string // what the client said first
}

func (s *scramServer) serve(l net.Listener) error {
	nc, err := l.Accept()
	if err != nil {
		return err
	}
	defer nc.Close()
	r := bufio.NewReader(nc)
	helo, err := r.ReadString('\n')
	if err != nil {
		return err
	}
	greeting := "220 v=1 mech=" + s.offered + " boot=9c t=1795348800000"
	fmt.Fprintf(nc, "%s\r\n", greeting)
	conv, err := s.conversation(nc)
	if err != nil {
		return err
	}
	in, err := read(r)
	if err != nil {
		return err
	}
	s.first = in.Value("data")
	if in.Value("user") != "bench7" || in.Value("origin") != "a1" {
		return fmt.Errorf("the login is that of %q from %q", in.Value("user"), in.Value("origin"))
	}
	hash := handshake.Hash([]byte(strings.TrimSpace(helo)), []byte(greeting))
	if _, nonce, _ := strings.Cut(s.first, ",r="); len(nonce) != 24+44 || nonce[24:] != hash {
		return fmt.Errorf("the nonce %q does not carry the hash %s", nonce, hash)
	}
	challenge, err := conv.Step(s.first)
	if err != nil {
		return err
	}
	nc.Write(frame(chatproto.ReplyChallenge, "data", challenge))
	if in, err = read(r); err != nil {
		return err
	}
	final, err := conv.Step(in.Value("data"))
	if err != nil || !conv.Valid() {
		return fmt.Errorf("the proof is wrong: %w", err)
	}
	if s.final != nil {
		final = s.final(final)
	}
	nc.Write(frame(chatproto.ReplyWelcome, "user", "bench7", "high", "0", "mail", "0", "data", final))
	if in, err = read(r); err != nil || in.Code != chatproto.QUIT {
		return errors.Join(err, fmt.Errorf("no QUIT"))
	}
	_, err = nc.Write(frame(chatproto.ReplyBye))
	return err
}

// conversation knows the one password there is.
func (s *scramServer) conversation(nc net.Conn) (*scram.ServerConversation, error) {
	server, err := scram.SHA256.NewServer(func(string) (scram.StoredCredentials, error) {
		client, err := scram.SHA256.NewClientUnprepped("", "bench", "")
		if err != nil {
			return scram.StoredCredentials{}, err
		}
		factors := scram.KeyFactors{Salt: "salt", Iters: s.iterations}
		if s.iterations > maxIterations {
			factors.Iters = 4096 // it does not come to that
		}
		stored, err := client.GetStoredCredentialsWithError(factors)
		stored.Iters = s.iterations
		return stored, err
	})
	if err != nil {
		return nil, err
	}
	secure, ok := nc.(*tls.Conn)
	if !ok || !strings.Contains(s.offered, scramPlus) {
		return server.NewConversation(), nil
	}
	state := secure.ConnectionState() // there was a HELO: the handshake is done
	binding, err := scram.NewTLSExporterBinding(&state)
	return server.NewConversationWithChannelBinding(binding), err
}

func read(r *bufio.Reader) (*chatproto.Frame, error) {
	line, err := r.ReadBytes('\n')
	if err != nil {
		return nil, err
	}
	f := new(chatproto.Frame)
	return f, chatproto.Parse(f, bytes.TrimSpace(line))
}

func frame(code chatproto.Code, fields ...string) []byte {
	b, err := chatproto.AppendFrame(nil, chatproto.NewFrame(code, "", fields...))
	if err != nil {
		panic(err)
	}
	return b
}

// The verifiers of accounts are those of the password.
func TestVerifier(t *testing.T) {
	v, err := verifier("bench", 4096)
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.FieldsFunc(v, func(r rune) bool { return r == '$' || r == ':' })
	salt, err := base64.StdEncoding.DecodeString(parts[2])
	if err != nil {
		t.Fatal(err)
	}
	client, err := scram.SHA256.NewClientUnprepped("bench0", "bench", "")
	if err != nil {
		t.Fatal(err)
	}
	want, err := client.GetStoredCredentialsWithError(scram.KeyFactors{Salt: string(salt), Iters: 4096})
	if err != nil {
		t.Fatal(err)
	}
	b64 := base64.StdEncoding.EncodeToString
	if parts[3] != b64(want.StoredKey) || parts[4] != b64(want.ServerKey) {
		t.Errorf("the verifier %s has other keys than the password: %s and %s", v, b64(want.StoredKey), b64(want.ServerKey))
	}
}
