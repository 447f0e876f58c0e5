package chatserver_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/parleyproto/parley/chatproto"
	"github.com/parleyproto/parley/chatserver"
	"github.com/parleyproto/parley/chatserver/internal/memnet"
	"github.com/parleyproto/parley/chatserver/store/memstore"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var demo = chatserver.Credentials{
	"columbia": "116bway", "google": "hasglasses", "A": "passA", "B": "passB", "C": "passC",
}

// TestTranscripts plays the sessions of testdata against a server in virtual
// time. A transcript is its own golden file: its commands are run, and what
// every client then receives is written below them, with the phase that
// results.
//
//	# text         why; kept
//	A connect      opens a connection; "A connect ADDRESS" from there
//	A> LINE        the client sends a line, as it stands (\x.. for odd octets)
//	A: LINE        what it receives
//	A eof          the client half-closes
//	A cut          the network between breaks and tells nobody
//	A close        the client closes
//	wait 45s       virtual time passes
//	restart        the server ends and another starts on the same store
//	limits N=V …   the same, with other Limits, and cleartext allowed from afar
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.transcript")
	if err != nil || len(files) == 0 {
		t.Fatal("no transcripts", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".transcript"), func(t *testing.T) {
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var got string
			synctest.Test(t, func(t *testing.T) { got = play(t, string(want)) })
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// A stage is a server with the clients of a transcript.
type stage struct {
	t       *testing.T
	srv     *chatserver.Server
	store   *memstore.Store
	limits  *chatserver.Limits // nil: the defaults
	clients map[string]*client
	out     strings.Builder
}

// A client is one connection of a transcript. It follows the phase table, as
// a client does, so a server that breaks the protocol fails the test.
type client struct {
	nc *memnet.Conn

	mu      sync.Mutex
	machine *chatproto.Machine
	seen    []string
}

func play(t *testing.T, script string) string {
	s := &stage{t: t, store: memstore.New(), clients: make(map[string]*client)}
	s.serve()
	for line := range strings.Lines(script) {
		line = strings.TrimSuffix(line, "\n")
		if isOutput(line) {
			continue
		}
		fmt.Fprintln(&s.out, line)
		if line == "" || line[0] == '#' {
			continue
		}
		s.command(line)
		synctest.Wait()
		s.report()
	}
	for _, c := range s.clients {
		c.nc.Close()
	}
	if err := s.srv.Close(); err != nil {
		t.Error(err)
	}
	synctest.Wait()
	return s.out.String()
}

var outputLine = regexp.MustCompile(`^\w+: |^\w+ is `)

func isOutput(line string) bool { return outputLine.MatchString(line) }

func (s *stage) serve() {
	s.srv = &chatserver.Server{Accounts: demo, Store: s.store}
	if s.limits != nil {
		s.srv.AllowCleartext, s.srv.Limits = true, *s.limits
	}
}

// limit sets fields of the Limits: "Strangers=2 ConnectRate=0.5".
func (s *stage) limit(fields string) {
	s.limits = new(chatserver.Limits)
	for f := range strings.FieldsSeq(fields) {
		name, value, _ := strings.Cut(f, "=")
		field := reflect.ValueOf(s.limits).Elem().FieldByName(name)
		if !field.IsValid() {
			s.t.Fatalf("there is no limit %s", name)
		}
		if _, err := fmt.Sscan(value, field.Addr().Interface()); err != nil {
			s.t.Fatalf("%s: %v", f, err)
		}
	}
}

func (s *stage) command(line string) {
	name, rest, _ := strings.Cut(line, " ")
	switch {
	case name == "wait":
		d, err := time.ParseDuration(rest)
		if err != nil {
			s.t.Fatal(err)
		}
		time.Sleep(d)
	case name == "restart" || name == "limits":
		if name == "limits" {
			s.limit(rest)
		}
		if err := s.srv.Close(); err != nil {
			s.t.Error(err)
		}
		s.serve()
	case strings.HasSuffix(name, ">"):
		s.clients[strings.TrimSuffix(name, ">")].send(s.t, rest)
	case rest == "eof":
		s.clients[name].nc.CloseWrite()
	case rest == "cut":
		s.clients[name].nc.Cut()
	case rest == "close":
		s.clients[name].nc.Close()
	case strings.HasPrefix(rest, "connect"):
		addr := strings.TrimPrefix(strings.TrimPrefix(rest, "connect"), " ")
		s.connect(name, addr)
	default:
		s.t.Fatalf("no such command: %s", line)
	}
}

func (s *stage) connect(name, addr string) {
	if addr == "" {
		addr = "127.0.0.1:50000"
	}
	near, far := memnet.Pipe(addr, "127.0.0.1:8000")
	c := &client{nc: near, machine: chatproto.V1.Machine()}
	s.clients[name] = c
	go s.srv.ServeConn(far)
	go c.read(s.t)
}

var octet = regexp.MustCompile(`\\x[0-9a-f]{2}`)

func (c *client) send(t *testing.T, line string) {
	line = strings.ReplaceAll(line, "{1000}", strings.Repeat("0123456789", 100))
	raw := octet.ReplaceAllStringFunc(line, func(x string) string {
		var b byte
		fmt.Sscanf(x, `\x%02x`, &b)
		return string([]byte{b})
	})
	var f chatproto.Frame
	c.mu.Lock()
	limit := chatproto.V1.Limits.Frame
	if c.machine.Phase() < chatproto.Ready {
		limit = chatproto.V1.Limits.LoginFrame
	}
	if chatproto.Parse(&f, []byte(raw)) == nil && len(raw) <= limit-2 {
		tag, _ := f.Uint("n")
		c.machine.Request(f.Code, tag)
	} else {
		c.machine.BadLine()
	}
	c.mu.Unlock()
	if _, err := c.nc.Write([]byte(raw + "\r\n")); err != nil {
		t.Log(err)
	}
}

func (c *client) read(t *testing.T) {
	r := chatproto.NewReader(c.nc)
	var f chatproto.Frame
	for {
		err := r.Next(&f)
		c.take(t, &f, err)
		if err != nil {
			return
		}
	}
}

// take notes what the client received.
func (c *client) take(t *testing.T, f *chatproto.Frame, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		c.seen = append(c.seen, "(end)")
		c.machine.EOF()
		return
	}
	lo, hi, _ := f.Range("n")
	if f.Code.IsReply() && f.Code != chatproto.ReplyUnavailable {
		err = c.machine.Reply(f.Code, lo, hi)
	} else {
		err = c.machine.Event(f.Code)
	}
	if err != nil {
		t.Errorf("the server broke the protocol: %v", err)
	}
	if f.Code == chatproto.GBYE && f.Value("why") == "shutdown" {
		return // of a Close, which does not wait for it to get out
	}
	b, err := chatproto.AppendFrame(nil, f)
	if err != nil {
		t.Error(err)
	}
	c.seen = append(c.seen, mask(string(bytes.TrimSpace(b))))
}

var (
	times   = regexp.MustCompile(` t=\d+`)
	boots   = regexp.MustCompile(` boot=[0-9a-f]+`)
	origins = regexp.MustCompile(` (origin|id)=[0-9a-f]{5,}`)
	tokens  = regexp.MustCompile(` token=[0-9a-f]{32}`)
)

// mask replaces what differs from run to run.
func mask(line string) string {
	line = times.ReplaceAllString(line, " t=…")
	line = boots.ReplaceAllString(line, " boot=…")
	line = tokens.ReplaceAllString(line, " token=…")
	return origins.ReplaceAllString(line, " $1=…")
}

// report writes down what every client received, and the phase it is in if
// that changed.
func (s *stage) report() {
	names := make([]string, 0, len(s.clients))
	for name := range s.clients {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		c := s.clients[name]
		c.mu.Lock()
		for _, line := range c.seen {
			fmt.Fprintf(&s.out, "%s: %s\n", name, line)
		}
		if len(c.seen) > 0 {
			fmt.Fprintf(&s.out, "%s is %v\n", name, c.machine.Phase())
		}
		c.seen = nil
		c.mu.Unlock()
	}
}
