package fuzz

import (
	"bufio"
	"context"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha256"
	"encoding/base64"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parleyproto/parley/chatclient"
	"github.com/parleyproto/parley/chatproto"
)

// FuzzClientScram lets a server that knows the password, or part of it, say arbitrary
// things to a client that logs in by SCRAM: first answers the client's first
// message, and last its proof. $N in them stands for the client's nonce, $S for
// the signature that would be right. The client gives a proof only for a
// challenge that extends its nonce and asks for a proper number of iterations,
// and is logged in only by the right signature, in the first 230 after its
// proof.
func FuzzClientScram(f *testing.F) {
	const challenge = "334 data=r=$Nserver,s=c2FsdA==,i=4096\n"
	const welcome = "230 user=A new=1 known=0 high=0 mail=0 data=$S\n"
	for _, first := range []string{
		challenge, "334 data=r=$N,s=c2FsdA==,i=4096\n", "334 data=r=$Nx,s=c2FsdA==,i=1\n", "334 data=r=$Nx,s=,i=4096\n", "334 data=r=$Nx,s=c2FsdA==,i=4096,x=y\n",
		"334 data=m=x,r=$Nx,s=c2FsdA==,i=4096\n", "334\n", "334 data=e=other-error\n", "LIVE\n" + challenge, welcome, "535 left=2\n", "331 :Password:\n", "",
	} {
		f.Add(first, welcome)
	}
	for _, last := range []string{
		welcome, "230 user=A\n", "230 data=v=\n", "230 data=$S user=A\n", "230 data=$S= user=A\n", "230 data=e=$S\n", challenge + welcome, "LIVE\n" + welcome, "LIVE\nGBYE\n", "200 data=$S\n",
		"230 user=A data=v=AAAA\n" + welcome, "535 left=2\n" + welcome,
	} {
		f.Add(challenge, last)
	}
	f.Fuzz(func(t *testing.T, first, last string) {
		if len(first)+len(last) > 16<<10 {
			return
		}
		synctest.Test(t, func(t *testing.T) { loginByScram(t, first, last) })
	})
}

func loginByScram(t *testing.T, first, last string) {
	near, far := net.Pipe()
	s := &scramServer{t: t, nc: far, rd: bufio.NewReader(far)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer far.Close()
		s.serve(first, last)
	}()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c, err := chatclient.Dial(ctx, chatclient.Config{User: "A", Password: "a", Cleartext: chatclient.CleartextLocal, PeerListen: "off",
		Dial: func(context.Context) (net.Conn, error) { return near, nil }})
	if err == nil {
		c.Close()
		<-c.Done()
	}
	<-done
	if err == nil && !s.right {
		t.Errorf("logged in by %q and %q", first, last)
	}
}

// A scramServer knows that the password is "a". It can follow a client's proof
// if it sent one challenge.
type scramServer struct {
	t     *testing.T
	nc    net.Conn
	rd    *bufio.Reader
	right bool // the first 230 after the proof had the right signature
}

func (s *scramServer) serve(first, last string) {
	s.nc.SetDeadline(time.Now().Add(time.Minute))
	s.line() // HELO
	s.say("220 v=1 mech=SCRAM-SHA-256 boot=1 t=1\n")
	bare, _ := strings.CutPrefix(s.data(), "n,,")
	_, nonce, _ := strings.Cut(bare, ",r=")
	first = strings.ReplaceAll(first, "$N", nonce)
	s.say(first)
	final := s.data()
	if final == "" {
		return
	}
	without, _, proved := strings.Cut(final, ",p=")
	said, salt, iterations := challengeIn(first)
	if !proved || said == "" {
		s.t.Errorf("after %q the client sends %q", first, final)
		return
	}
	if r, _, _ := strings.Cut(said, ","); len(r) <= len("r="+nonce) || !strings.HasPrefix(r, "r="+nonce) || iterations < 4096 || iterations > 600_000 {
		s.t.Errorf("the client gives a proof for %q", said)
	}
	salted, _ := pbkdf2.Key(sha256.New, "a", salt, int(iterations), sha256.Size)
	signature := "v=" + base64.StdEncoding.EncodeToString(mac(mac(salted, "Server Key"), bare+","+said+","+without))
	last = strings.ReplaceAll(strings.ReplaceAll(last, "$N", nonce), "$S", signature)
	s.right = firstOf(chatproto.ReplyWelcome, last).Value("data") == signature
	s.say(last)
	time.Sleep(time.Second)
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

// challengeIn returns the first challenge in lines, "" if there is none.
func challengeIn(lines string) (said string, salt []byte, iterations uint64) {
	said = firstOf(chatproto.ReplyChallenge, lines).Value("data")
	parts := strings.Split(said, ",")
	if len(parts) != 3 {
		return "", nil, 0
	}
	salt, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(parts[1], "s="))
	iterations, ok := chatproto.ParseUint([]byte(strings.TrimPrefix(parts[2], "i=")))
	if err != nil || !ok {
		return "", nil, 0
	}
	return said, salt, iterations
}

// firstOf returns the first frame with this code, an empty one if there is
// none.
func firstOf(code chatproto.Code, lines string) *chatproto.Frame {
	r := chatproto.NewReader(strings.NewReader(lines))
	for {
		f := new(chatproto.Frame)
		switch err := r.Next(f); {
		case err != nil:
			return new(chatproto.Frame)
		case f.Code == code:
			return f
		}
	}
}

func (s *scramServer) say(lines string) { io.WriteString(s.nc, lines) }

func (s *scramServer) line() string {
	line, _ := s.rd.ReadString('\n')
	return strings.TrimRight(line, "\r\n")
}

// data returns data= of the client's next line, "" at the end.
func (s *scramServer) data() string {
	var f chatproto.Frame
	if chatproto.Parse(&f, []byte(s.line())) != nil {
		return ""
	}
	return f.Value("data")
}
