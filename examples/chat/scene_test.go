//go:build unix

package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"flag"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/parleyproto/parley/chatclient"
	"github.com/parleyproto/parley/chatserver"
	"github.com/parleyproto/parley/chatserver/store"
	"github.com/parleyproto/parley/chatserver/store/memstore"
)

var update = flag.Bool("update", false, "rewrite the golden screens")

// farChild, set in the environment, makes the test binary a chat whose server
// seems to be another machine, whatever it is called.
const farChild = "CHAT_TEST_FAR"

// farHost is what such a server is called.
const farHost = "chat.example.org"

func runFarChild() {
	dial = func(ctx context.Context, addr string) (net.Conn, error) {
		_, port, _ := net.SplitHostPort(addr)
		var d net.Dialer
		nc, err := d.DialContext(ctx, "tcp", "127.0.0.1:"+port)
		if err != nil {
			return nil, err
		}
		return farConn{nc}, nil
	}
	main()
}

type farConn struct{ net.Conn }

func (farConn) RemoteAddr() net.Addr {
	return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 8000}
}

// A scene is a person, or a script, who meets a server.
type scene struct {
	t    *testing.T
	home string
	out  strings.Builder // what was on the screens, for a golden

	server *chatserver.Server
	store  store.Store // of all its servers
	door   *door
	port   string
	keys   []string // fingerprints of the keys that the server had
}

func newScene(t *testing.T) *scene {
	s := &scene{t: t, home: t.TempDir(), store: memstore.New(), door: newDoor(t)}
	_, s.port, _ = net.SplitHostPort(s.door.listener.Addr().String())
	t.Cleanup(func() { s.server.Close() })
	return s
}

// serve starts the server, or another in its place.
func (s *scene) serve(srv *chatserver.Server) {
	if s.server != nil {
		s.server.Close()
	}
	if srv.Store == nil {
		srv.Store = s.store
	}
	if srv.Accounts == nil {
		srv.Accounts = chatserver.Credentials{"A": "pa", "B": "pb"}
	}
	s.server = srv
	go srv.Serve(s.door.open())
}

// A door is where servers listen, one after the other: the port stays theirs
// in between.
type door struct {
	listener net.Listener

	mu   sync.Mutex
	room *room
}

// A room is the listener of one server.
type room struct {
	net.Listener // for its address
	conns        chan net.Conn
	closed       chan struct{}
	close        func()
}

func newDoor(t *testing.T) *door {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d := &door{listener: l}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			d.mu.Lock()
			r := d.room
			d.mu.Unlock()
			select {
			case r.conns <- nc:
			case <-r.closed:
				nc.Close()
			}
		}
	}()
	return d
}

// open leads to a new room.
func (d *door) open() net.Listener {
	d.mu.Lock()
	defer d.mu.Unlock()
	r := &room{Listener: d.listener, conns: make(chan net.Conn), closed: make(chan struct{})}
	r.close = sync.OnceFunc(func() { close(r.closed) })
	d.room = r
	return r
}

func (r *room) Accept() (net.Conn, error) {
	select {
	case nc := <-r.conns:
		return nc, nil
	case <-r.closed:
		return nil, net.ErrClosed
	}
}

func (r *room) Close() error { r.close(); return nil }

// withKey is TLS with a certificate.
func (s *scene) withKey(cert tls.Certificate) *tls.Config {
	s.t.Helper()
	key, err := chatserver.LeafFingerprint(cert)
	if err != nil {
		s.t.Fatal(err)
	}
	s.keys = append(s.keys, key)
	return &tls.Config{Certificates: []tls.Certificate{cert}}
}

// selfMade is TLS with a certificate as chatd makes one.
func (s *scene) selfMade() *tls.Config {
	s.t.Helper()
	cert, err := chatserver.SelfSigned(s.t.TempDir())
	if err != nil {
		s.t.Fatal(err)
	}
	return s.withKey(cert)
}

// vouched is TLS with a certificate of an authority that the scene's machine
// trusts.
func (s *scene) vouched(name string, from, to time.Time) *tls.Config {
	s.t.Helper()
	make := func(cn string, cert, parent *x509.Certificate, key, parentKey *ecdsa.PrivateKey) []byte {
		cert.SerialNumber, cert.Subject = big.NewInt(1), pkix.Name{CommonName: cn}
		der, err := x509.CreateCertificate(rand.Reader, cert, parent, key.Public(), parentKey)
		if err != nil {
			s.t.Fatal(err)
		}
		return der
	}
	rootKey, key := newKey(s.t), newKey(s.t)
	root := &x509.Certificate{NotBefore: from.AddDate(-1, 0, 0), NotAfter: time.Now().AddDate(9, 0, 0), IsCA: true, BasicConstraintsValid: true}
	roots := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: make("an authority", root, root, rootKey, rootKey)})
	if err := os.WriteFile(filepath.Join(s.home, "roots.pem"), roots, 0o600); err != nil {
		s.t.Fatal(err)
	}
	leaf := &x509.Certificate{NotBefore: from, NotAfter: to, DNSNames: []string{name}}
	return s.withKey(tls.Certificate{Certificate: [][]byte{make(name, leaf, root, key, rootKey)}, PrivateKey: key})
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// pin has the scene's user know a server already.
func (s *scene) pin(host string, p chatclient.Pin) {
	s.t.Helper()
	if err := s.pins().SetPin(host+":"+s.port, p); err != nil {
		s.t.Fatal(err)
	}
}

func (s *scene) pins() chatclient.PinFile {
	return chatclient.PinFile(filepath.Join(s.home, "config", "parley", "known_servers"))
}

// chat is a chat with the server, which is elsewhere unless host is 127.0.0.1.
func (s *scene) chat(host string, flags ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(binaries, "chat"), append(flags, host, s.port)...)
	cmd.Env = append(os.Environ(), "HOME="+s.home, "XDG_CONFIG_HOME="+s.home+"/config", "SSL_CERT_FILE="+s.home+"/roots.pem", "SSL_CERT_DIR="+s.home)
	if host == farHost {
		cmd.Path = os.Args[0]
		cmd.Env = append(cmd.Env, farChild+"=1")
	}
	fmt.Fprintf(&s.out, "$ %s\n", strings.Join(append([]string{"chat"}, cmd.Args[1:]...), " "))
	return cmd
}

// pipe gives a chat all its input at once, and notes what comes out.
func (s *scene) pipe(input string, cmd *exec.Cmd) {
	s.t.Helper()
	var stderr strings.Builder
	cmd.Stdin, cmd.Stderr = strings.NewReader(input), &stderr
	timeout := time.AfterFunc(patience, func() { cmd.Process.Kill() })
	stdout, _ := cmd.Output()
	timeout.Stop()
	s.note("standard input", input)
	s.note("standard output", string(stdout))
	s.note("standard error", stderr.String())
	s.status(cmd)
}

func (s *scene) note(what, text string) {
	if text != "" {
		fmt.Fprintf(&s.out, "-- %s\n%s", what, text)
	}
}

func (s *scene) status(cmd *exec.Cmd) {
	fmt.Fprintf(&s.out, "-- status %d\n\n", cmd.ProcessState.ExitCode())
}

// A person at a terminal.
type person struct {
	*ptySeat
	s *scene
}

// sit starts a chat on a terminal.
func (s *scene) sit(cmd *exec.Cmd) *person {
	s.t.Helper()
	cmd.Env = append(cmd.Env, "TERM=xterm", "INPUTRC=/dev/null", "NO_COLOR=1")
	return &person{&ptySeat{console: startConsole(s.t, cmd, 600, 60), name: "A", cmd: cmd}, s}
}

// when waits until the last line has this, and types a line.
func (p *person) when(last, line string) {
	p.s.t.Helper()
	p.sees(last)
	p.input(line)
}

// sees waits until the last line, or the one above it, has this.
func (p *person) sees(last string) {
	p.s.t.Helper()
	p.wait(fmt.Sprintf("%q", last), func(lines []string) bool {
		for _, l := range lines[max(0, len(lines)-2):] {
			if strings.Contains(l, last) {
				return true
			}
		}
		return false
	})
}

// leaves waits for the end, and notes what the terminal shows then.
func (p *person) leaves() {
	p.s.t.Helper()
	p.seen = 1 << 10 // whatever there is more
	deadline := time.After(patience)
	for open := true; open; {
		var b []byte
		select {
		case b, open = <-p.output:
			p.screen.Write(b)
		case <-deadline:
			p.s.t.Fatalf("chat does not end:\n%s", strings.Join(p.screen.lines(), "\n"))
		}
	}
	exitStatus(p.s.t, p.cmd)
	p.s.note("terminal", strings.Join(p.screen.lines(), "\n")+"\n")
	p.s.status(p.cmd)
}

// What differs from run to run.
var (
	times    = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ`)
	address  = regexp.MustCompile(`\b\d{4,5} 127\.0\.0\.1 B`)
	lostWhy  = regexp.MustCompile(`The connection is lost \([^)]*\)`)
	anyKey   = regexp.MustCompile(`(?i)sha256:[0-9a-f]{64}`)
	lockouts = regexp.MustCompile(`\b([1-9]|[1-5]\d|60) seconds\.`)
	safeties = regexp.MustCompile(`\d{5}( \d{5}){11}`)
)

// check compares what was seen with the golden of the test.
func (s *scene) check() {
	s.t.Helper()
	got := s.out.String()
	for i, key := range s.keys {
		name := fmt.Sprintf("sha256:(key %d)", i+1)
		got = strings.NewReplacer(key, name, strings.ToUpper(key), strings.ToUpper(name)).Replace(got)
	}
	got = anyKey.ReplaceAllString(got, "sha256:(another)")
	got = strings.ReplaceAll(got, ":"+s.port, ":(port)")
	got = strings.ReplaceAll(got, " "+s.port, " (port)")
	got = strings.ReplaceAll(got, s.home, "(home)")
	got = strings.ReplaceAll(got, " ^C\n", "\n") // which terminals show or not
	got = times.ReplaceAllString(got, "(time)")
	got = address.ReplaceAllString(got, "(port) 127.0.0.1 B")
	got = lostWhy.ReplaceAllString(got, "The connection is lost (why)")
	got = lockouts.ReplaceAllString(got, "(60 or less) seconds.")
	numbers := map[string]string{}
	got = safeties.ReplaceAllStringFunc(got, func(n string) string {
		if numbers[n] == "" {
			numbers[n] = fmt.Sprintf("(safety number %d)", len(numbers)+1)
		}
		return numbers[n]
	})
	file := filepath.Join("testdata", "screens", filepath.Base(s.t.Name())+".golden")
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			s.t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			s.t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		s.t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); diff != "" {
		s.t.Errorf("the screens differ from %s (-want +got):\n%s", file, diff)
	}
}
