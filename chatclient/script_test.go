package chatclient_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/parleyproto/parley/chatclient"
	"github.com/parleyproto/parley/chatproto"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A server plays the other end: every Dial of the client makes a link, which
// a test takes and plays a script on.
type server struct {
	t      testing.TB
	links  chan *link
	refuse bool // dialling fails
	dials  int
}

func newServer(t testing.TB) *server { return &server{t: t, links: make(chan *link, 16)} }

func (s *server) dial(context.Context) (net.Conn, error) {
	s.dials++
	if s.refuse {
		return nil, errors.New("connection refused")
	}
	client, end := net.Pipe()
	l := newLink(s.t, end)
	l.s = s
	s.links <- l
	return client, nil
}

// link returns the next connection that the client made.
func (s *server) link() *link {
	s.t.Helper()
	select {
	case l := <-s.links:
		return l
	case <-time.After(time.Hour):
		s.t.Fatal("the client does not connect")
		return nil
	}
}

// A link is a server's end of one connection.
type link struct {
	t     testing.TB
	s     *server // nil for a private line
	nc    net.Conn
	rd    *bufio.Reader
	begin time.Time
	saw   []string // what * stood for, line by line
}

func newLink(t testing.TB, nc net.Conn) *link {
	return &link{t: t, nc: nc, rd: bufio.NewReader(nc), begin: time.Now()}
}

// play plays a transcript. S: lines are sent, C: lines are expected, octet by
// octet but for *, which stands for anything without a space, and {...}, which
// may be missing. "C+30s:" expects the line that long after the last play began.
// Each S: line must be a frame in its canonical form, and a line that the client
// sends must be one as well. <close> closes, or expects the end.
func (l *link) play(script string) {
	l.t.Helper()
	l.begin = time.Now()
	for line := range strings.Lines(script) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		who, rest, _ := strings.Cut(line, ": ")
		switch {
		case who == "S" && rest == "<close>":
			l.nc.Close()
		case who == "S":
			canonical(l.t, rest)
			l.nc.SetWriteDeadline(time.Now().Add(time.Hour))
			if _, err := io.WriteString(l.nc, rest+"\r\n"); err != nil {
				l.t.Fatalf("S: %s\n%v", rest, err)
			}
		case strings.HasPrefix(who, "C"):
			l.expect(rest)
			if _, after, ok := strings.Cut(who, "+"); ok {
				want, err := time.ParseDuration(after)
				if got := time.Since(l.begin); err != nil || got != want {
					l.t.Errorf("%s came after %v, want %v (%v)", rest, got, want, err)
				}
			}
		default:
			l.t.Fatalf("bad script line %q", line)
		}
	}
}

func (l *link) expect(want string) {
	l.t.Helper()
	got := l.read()
	if want == "<close>" {
		if got != "" {
			l.t.Fatalf("got  C: %s\nwant the end", got)
		}
		return
	}
	pattern := "^" + strings.NewReplacer(`\*`, `(\S*)`, `\{`, `(?:`, `\}`, `)?`).Replace(regexp.QuoteMeta(want)) + "$"
	match := regexp.MustCompile(pattern).FindStringSubmatch(got)
	if match == nil {
		l.t.Fatalf("got  C: %s\nwant C: %s", got, want)
	}
	l.saw = append(l.saw, match[1:]...)
	canonical(l.t, got)
}

// read returns the client's next line, "" at the end.
func (l *link) read() string {
	l.t.Helper()
	l.nc.SetReadDeadline(time.Now().Add(time.Hour))
	line, err := l.rd.ReadString('\n')
	if err != nil && !((err == io.EOF || err == io.ErrClosedPipe) && line == "") {
		l.t.Fatalf("%q: %v", line, err)
	}
	return strings.TrimSuffix(line, "\r\n")
}

// keepAlive answers the client's heartbeat until the end.
func (l *link) keepAlive() {
	l.nc.SetDeadline(time.Time{})
	for {
		if _, err := l.rd.ReadString('\n'); err != nil {
			return
		}
		if _, err := io.WriteString(l.nc, "LIVE\r\n"); err != nil {
			return
		}
	}
}

// silent expects nothing from the client for d.
func (l *link) silent(d time.Duration) {
	l.t.Helper()
	l.nc.SetReadDeadline(time.Now().Add(d))
	if line, err := l.rd.ReadString('\n'); !isTimeout(err) {
		l.t.Fatalf("got C: %q (%v), want silence", line, err)
	}
}

// origin returns the origin of the login that was played on the link.
func (l *link) origin() uint64 {
	l.t.Helper()
	origin, ok := chatproto.ParseOrigin([]byte(l.saw[0]))
	if !ok {
		l.t.Fatalf("%q is no origin", l.saw[0])
	}
	return origin
}

func itoa(n int) string { return strconv.Itoa(n) }

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}

func canonical(t testing.TB, line string) {
	t.Helper()
	var f chatproto.Frame
	if err := chatproto.Parse(&f, []byte(line)); err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	b, err := chatproto.AppendFrame(nil, &f)
	if got := strings.TrimSuffix(string(b), "\r\n"); err != nil || got != line {
		t.Fatalf("not canonical: %q, rather %q (%v)", line, got, err)
	}
}

const (
	hello = `
		C: HELO v=1 acks=1 beat=30000
		S: 220 v=1 mech=PLAIN boot=9c t=0
		C: AUTH mech=PLAIN user=B pass=secret origin=*{ known=1}
	`
	welcomed = hello + `
		S: 230 user=B new=1 known=0 high=0 mail=0 :Welcome to simple chat server!\nOffline Messages:\nNo offline messages
	`
	resumed = hello + `
		S: 230 user=B new=0 known=1 high=0 mail=0
	`
)

// as returns a transcript with what may be missing put in its place.
func as(script, put string) string { return strings.Replace(script, "{ known=1}", put, 1) }

// config is one that logs in at s as B.
func (s *server) config() chatclient.Config {
	return chatclient.Config{Dial: s.dial, Cleartext: chatclient.CleartextLocal, User: "B", Password: "secret"}
}

// login returns a client that is logged in, and its link.
func (s *server) login(cfg chatclient.Config) (*chatclient.Client, *link) {
	s.t.Helper()
	var c *chatclient.Client
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		c, err = chatclient.Dial(s.t.Context(), cfg)
	}()
	l := s.link()
	l.play(welcomed)
	<-done
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { end(c) })
	return c, l
}

// loginScram returns a client that is logged in without a password sent, and
// its link.
func (s *server) loginScram(cfg chatclient.Config) (*chatclient.Client, *link) {
	s.t.Helper()
	d := async(func() dialled {
		c, err := chatclient.Dial(s.t.Context(), cfg)
		return dialled{c, err}
	})
	l := s.link()
	l.play(helloScram)
	v := newVerifier("secret", "salt", 4096)
	if err := v.first(l.field("data")); err != nil {
		s.t.Fatal(err)
	}
	l.play("S: 334 data=" + v.challenge("server"))
	l.play("C: AUTH data=*")
	signature, ok := v.final(l.saw[len(l.saw)-1], nil)
	if !ok {
		s.t.Fatal("the proof is wrong")
	}
	l.play("S: 230 user=B new=1 known=0 high=0 mail=0 data=" + signature)
	got := <-d
	if got.err != nil {
		s.t.Fatal(got.err)
	}
	s.t.Cleanup(func() { end(got.c) })
	return got.c, l
}

const helloScram = `
	C: HELO v=1 acks=1 beat=30000
	S: 220 v=1 mech=SCRAM-SHA-256 boot=9c t=0
`

// field reads the client's next line and returns the value of a field.
func (l *link) field(key string) string {
	l.t.Helper()
	var f chatproto.Frame
	if err := chatproto.Parse(&f, []byte(l.read())); err != nil {
		l.t.Fatal(err)
	}
	return f.Value(key)
}

// async runs f and returns where its result comes.
func async[T any](f func() T) <-chan T {
	c := make(chan T, 1)
	go func() { c <- f() }()
	return c
}

// A sent is what Send returns.
type sent struct {
	chatclient.Receipt
	err error
}

func send(c *chatclient.Client, to, text string) <-chan sent {
	return async(func() sent {
		r, err := c.Send(context.Background(), to, text)
		return sent{r, err}
	})
}

// end closes c and waits until everything of it is gone.
func end(c *chatclient.Client) {
	c.Close()
	<-c.Done()
}
