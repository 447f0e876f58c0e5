package chatserver

import (
	"bufio"
	"context"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// An idler is a client of a server on whose connections rest follows at once.
type idler struct {
	net.Conn
	*bufio.Reader
	t *testing.T
}

func (i *idler) say(format string, args ...any) {
	i.t.Helper()
	if _, err := fmt.Fprintf(i, format, args...); err != nil {
		i.t.Error(err)
	}
}

func (i *idler) want(prefix string) {
	i.t.Helper()
	for {
		l, err := i.ReadString('\n')
		if strings.HasPrefix(l, "LIVE") {
			continue
		}
		if !strings.HasPrefix(l, prefix) || prefix == "" && err == nil {
			i.t.Errorf("got %q, %v, want %q", l, err, prefix)
		}
		return
	}
}

// restless starts a server whose connections are idle after a moment, and
// tells how many came to be.
func restless(t *testing.T, srv *Server) (dial func(user string) *idler, rested chan struct{}) {
	return restlessAt(t, srv, "tcp", "127.0.0.1:0")
}

func restlessAt(t *testing.T, srv *Server, network, address string) (dial func(user string) *idler, rested chan struct{}) {
	rested = make(chan struct{}, 1000)
	if srv.Accounts == nil {
		srv.Accounts = Credentials{"A": "a", "B": "b"}
	}
	srv.restAfter, srv.onRest = time.Millisecond, func() { rested <- struct{}{} }
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	go srv.Serve(l)
	t.Cleanup(func() { srv.Close() })
	return func(user string) *idler {
		nc, err := net.Dial(network, l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { nc.Close() })
		i := &idler{nc, bufio.NewReader(nc), t}
		i.say("HELO v=1 acks=1 pres=0 beat=60000\r\nAUTH user=%s pass=%s origin=%s\r\n",
			user, srv.Accounts.(Credentials)[user], strings.ToLower(strings.TrimPrefix(user, "u")))
		i.want("220 ")
		i.want("230 ")
		return i
	}, rested
}

// watched is how many connections the event loops have.
func watched(srv *Server) (n int) {
	srv.loops.mu.Lock()
	defer srv.loops.mu.Unlock()
	for _, l := range srv.loops.all {
		l.mu.Lock()
		n += len(l.conns)
		l.mu.Unlock()
	}
	return n
}

// TestIdle: a connection that has no goroutine takes what comes from either
// side, also a line in pieces, and its end.
func TestIdle(t *testing.T) {
	srv := new(Server)
	dial, rested := restless(t, srv)
	a, b := dial("A"), dial("B")
	<-rested
	<-rested
	for n := 1; n < 20; n++ {
		a.say("SEND n=%d to=B :he", n)
		<-rested // with a line in part
		a.say("llo\r\n")
		b.want(fmt.Sprintf("MESG from=A id=a.%d ", n))
		b.say("ACKD count=%d\r\n", n)
		a.want("201 ")
		<-rested
		<-rested
	}
	b.Close()
	a.say("SEND n=20 to=B :you there?\r\n")
	a.want("201 n=20 how=stored")
	if n := watched(srv); n > 1 {
		t.Errorf("%d connections are watched", n)
	}
}

// TestIdleIsSilent: who is idle for too long is logged out.
func TestIdleIsSilent(t *testing.T) {
	srv := &Server{Timeout: time.Second} // of which a login takes a part
	dial, rested := restless(t, srv)
	a := dial("A")
	<-rested
	a.want("GBYE why=timeout")
	a.want("")
}

// TestIdleSilentLeaves: who is logged out for being silent has left the loop
// before that waits for anything: nobody is woken by what he says then.
func TestIdleSilentLeaves(t *testing.T) {
	srv := &Server{Timeout: time.Second}
	dial, rested := restless(t, srv)
	dial("A")
	<-rested
	u, err := srv.startedUser("A")
	if err != nil {
		t.Fatal(err)
	}
	u.login.Lock() // somebody logs in, and it takes his time
	defer u.login.Unlock()
	for end := time.Now().Add(10 * time.Second); watched(srv) > 0; <-time.After(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("who is silent is still watched")
		}
	}
}

// TestPartIsSilent: a part of a line is no sign of life (SPEC section 7.3), in
// an event loop and without one, and of a line that is too long.
func TestPartIsSilent(t *testing.T) {
	for _, c := range []struct {
		loopless bool
		part     int
	}{{false, 0}, {true, 0}, {false, 50 << 10}} {
		srv := &Server{Timeout: time.Second}
		srv.loops.over = c.loopless
		dial, _ := restless(t, srv)
		a := dial("A")
		a.say("%s", strings.Repeat("x", c.part))
		ended := make(chan bool)
		go func() {
			a.SetReadDeadline(time.Now().Add(10 * time.Second))
			a.want("GBYE why=timeout")
			close(ended)
		}()
		for told := false; !told; {
			a.Write([]byte("x"))
			select {
			case <-ended:
				told = true
			case <-time.After(100 * time.Millisecond):
			}
		}
	}
}

// TestIdleGoodbye: who is idle is told goodbye, and cut.
func TestIdleGoodbye(t *testing.T) {
	srv := new(Server)
	dial, rested := restless(t, srv)
	a := dial("A")
	<-rested
	other := dial("A") // from the same origin: it takes the session over
	a.want("")
	<-rested
	if err := srv.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	other.want("GBYE why=shutdown")
	other.want("")
	if n := watched(srv); n > 0 {
		t.Errorf("%d connections are watched", n)
	}
}

// TestIdleHeartbeat: who is idle is told that the server lives, as often as he
// asked for, and not sooner because of what was said meanwhile.
func TestIdleHeartbeat(t *testing.T) {
	srv := &Server{Heartbeat: time.Second}
	dial, rested := restless(t, srv)
	begun := time.Now()
	a := dial("A")
	<-rested
	for n := range time.Duration(2) {
		if l, err := a.ReadString('\n'); l != "LIVE\r\n" {
			t.Fatalf("got %q, %v, want LIVE", l, err)
		}
		// Between two that come can be less time than between their going out.
		if since := time.Since(begun); since < (n+1)*900*time.Millisecond {
			t.Errorf("the server lived %d times in %v", n+1, since)
		}
	}
	select {
	case <-rested:
		t.Error("a goroutine was started to say so")
	default:
	}
	a.say("LIVE\r\n") // it has a goroutine again
	<-rested
	if l, err := a.ReadString('\n'); l != "LIVE\r\n" {
		t.Errorf("got %q, %v, want LIVE", l, err)
	}
}

// onLoops logs in two users for each event loop, so that every connection has
// another on its loop.
func onLoops(t *testing.T, srv *Server) (all []*idler) {
	all, _ = manyOnLoops(t, srv, 2)
	return all
}

// manyOnLoops is onLoops with so many for each.
func manyOnLoops(t *testing.T, srv *Server, each int) (all []*idler, rested chan struct{}) {
	names := Credentials{}
	for i := range each * runtime.GOMAXPROCS(0) {
		names[fmt.Sprint("u", i+1)] = "x"
	}
	srv.Accounts = names
	dial, rested := restlessAt(t, srv, "unix", filepath.Join(t.TempDir(), "chat"))
	for i := range len(names) {
		all = append(all, dial(fmt.Sprint("u", i+1)))
	}
	return all, rested
}

// TestLoopBlocks: a hook that takes its time holds up one connection and no
// other, whatever loop they are on.
func TestLoopBlocks(t *testing.T) {
	blocked, release := make(chan bool), make(chan bool)
	srv := &Server{Hooks: Hooks{AuthorizeMessage: func(context.Context, Outgoing) error {
		blocked <- true
		<-release
		return nil
	}}}
	all := onLoops(t, srv)
	a := all[0]
	a.say("CAST n=1 :one\r\nBLOK n=2 user=u1\r\n")
	<-blocked
	for _, i := range all[1:] {
		i.say("LSTN n=1 padding=%s\r\n", strings.Repeat("x", 100)) // longer than what a has said
		i.want("501 n=1 ")
	}
	release <- true
	a.want("201 n=1 ")
	a.want("550 n=2 ")
	a.say("CAST n=3 :two\r\n") // it is back on its loop
	<-blocked
	release <- true
	a.want("201 n=3 ")
}

// TestLoopNotRead: who asks and does not read the answers is not read from;
// that holds up nobody else, and loses nothing.
func TestLoopNotRead(t *testing.T) {
	srv := &Server{Limits: Limits{OutboundBytes: 8000}}
	all := onLoops(t, srv)
	a := all[0]
	stuck, asked := make(chan bool), make(chan int)
	go func() {
		n := 0
		for {
			a.SetWriteDeadline(time.Now().Add(300 * time.Millisecond))
			if _, err := fmt.Fprintf(a, "BLOK n=%d user=u1\r\n", n+1); err != nil {
				break
			}
			n++
		}
		close(stuck)
		asked <- n
	}()
	<-stuck
	for _, i := range all[1:] {
		i.say("LSTN n=1\r\n")
		i.want("501 n=1 ")
	}
	for n, end := 1, <-asked; n <= end && !t.Failed(); n++ {
		a.want(fmt.Sprintf("550 n=%d ", n))
	}
}

// TestLoopOverlong: who is in the middle of a line that is too long holds up
// nobody else, is told when it ends, and goes on.
func TestLoopOverlong(t *testing.T) {
	all := onLoops(t, new(Server))
	a := all[0]
	a.say("BLOK n=1 user=%s", strings.Repeat("x", 30<<10))
	a.say("%s", strings.Repeat("x", 20<<10))
	for _, i := range all[1:] {
		i.say("LSTN n=1\r\n")
		i.want("501 n=1 ")
	}
	a.say("\r\nBLOK n=2 user=u1\r\n")
	a.want("500 ")
	a.want("550 n=2 ")
}

// TestLoopLooksLong: a loop that takes longer to look at its connections than
// it has until the next time reads them nevertheless.
func TestLoopLooksLong(t *testing.T) {
	srv := new(Server)
	dial, _ := restless(t, srv)
	srv.restAfter, srv.onRest = time.Nanosecond, nil
	a := dial("A")
	a.SetReadDeadline(time.Now().Add(10 * time.Second))
	a.say("BLOK n=1 user=A\r\n")
	a.want("550 n=1 ")
}

// TestLoopCut: a connection that is cut is not watched any more, also if the
// application has a copy of its descriptor.
func TestLoopCut(t *testing.T) {
	srv := new(Server)
	dial, rested := restless(t, srv)
	a := dial("A")
	<-rested
	u, err := srv.startedUser("A")
	if err != nil {
		t.Fatal(err)
	}
	fd, err := syscall.Dup(int(srv.roster.session(u.name).attached().fd))
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	dial("A") // takes the session over
	<-rested
	a.say("LIVE\r\n")
	srv.loops.mu.Lock()
	defer srv.loops.mu.Unlock()
	for _, l := range srv.loops.all {
		var events [1]syscall.EpollEvent
		if n, err := syscall.EpollWait(l.poller.fd, events[:], 100); n != 0 {
			t.Errorf("%d events, %v, of a connection that is cut", n, err)
		}
	}
}

// TestIdleLate: who is looked at just before he is in the hands of the loop
// rests all the same.
func TestIdleLate(t *testing.T) {
	srv := new(Server)
	dial, rested := restless(t, srv)
	dial("A")
	<-rested
	c := srv.roster.session("A").attached()
	l := c.loop
	waits := func(waits bool) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.waits = waits
	}
	waits(false) // as between eventLoops.add and the end of park
	l.mu.Lock()
	l.warmUp(c)
	looks := time.Now()
	l.lookBy(looks)
	l.poller.wake()
	l.mu.Unlock()
	for again, end := 0, time.Now().Add(10*time.Second); again < 2; <-time.After(time.Millisecond) {
		l.mu.Lock()
		if l.lookAt != looks {
			looks = l.lookAt
			again++
		}
		l.mu.Unlock()
		if time.Now().After(end) {
			t.Fatal("A is not looked at again")
		}
	}
	waits(true)
	select {
	case <-rested:
	case <-time.After(10 * time.Second):
		t.Error("A does not rest")
	}
}

// TestLoopShares: where there is one processor alone, a loop waits through the
// runtime: it is woken, reads, tells who waits that the server lives, and ends.
func TestLoopShares(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	srv := &Server{Heartbeat: time.Second}
	dial, rested := restless(t, srv)
	a, b := dial("A"), dial("B")
	<-rested
	<-rested
	for n := 1; n < 20; n++ {
		a.say("SEND n=%d to=B :hello\r\n", n)
		b.want(fmt.Sprintf("MESG from=A id=a.%d ", n))
		b.say("ACKD count=%d\r\n", n)
		a.want("201 ")
	}
	for _, l := range srv.loops.all {
		if l.poller.file == nil {
			t.Error("a loop waits in the kernel")
		}
	}
	for {
		if l, err := a.ReadString('\n'); err != nil {
			t.Fatal(err)
		} else if l == "LIVE\r\n" {
			break
		}
	}
	if err := srv.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	a.want("GBYE why=shutdown")
}

// descriptors is what sockets and pipes this process has open, and how often.
func descriptors(t *testing.T) map[string]int {
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	open := make(map[string]int)
	for _, fd := range all {
		if to, err := os.Readlink("/proc/self/fd/" + fd.Name()); err == nil && !strings.HasPrefix(to, "/") {
			open[to]++
		}
	}
	return open
}

// TestLoopDescriptors: a connection that owns its socket closes it, however it
// ends, and so do the loops.
func TestLoopDescriptors(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // which would close what nobody has
	before := descriptors(t)
	srv := &Server{Limits: Limits{OutboundBytes: 8000}}
	all, rested := manyOnLoops(t, srv, 8)
	for range all {
		<-rested
	}
	all[0].say("BLOK n=1 user=%s\r\n", strings.Repeat("x", 50<<10)) // waited for through the runtime
	all[0].want("500 ")
	all[1].say("QUIT n=1\r\n")
	all[1].want("221 ")
	all[1].want("")
	all[2].Close()
	for n := range 1000 { // more than the system takes, so that a goroutine waits to write
		all[3].say("LSTN n=%d\r\n", n+1)
		if n%4 == 0 {
			all[4].say("SEND n=%d to=u6 :%s\r\n", n+1, strings.Repeat("x", 4000))
		}
	}
	all[4].want("201 ")
	other, err := net.Dial("unix", all[5].RemoteAddr().String()) // takes over from who has not read
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	fmt.Fprint(other, "HELO v=1 acks=1 pres=0 beat=60000\r\nAUTH user=u6 pass=x origin=6\r\n")
	other.Read(make([]byte, 100))
	if err := srv.Close(); err != nil {
		t.Error(err)
	}
	for _, i := range all {
		i.Close()
	}
	other.Close()
	for end := time.Now().Add(10 * time.Second); ; <-time.After(5 * time.Millisecond) {
		left := descriptors(t)
		maps.DeleteFunc(left, func(to string, n int) bool { return n <= before[to] })
		if len(left) == 0 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("still open: %v", left)
		}
	}
}

// TestLoopNoDescriptor: who reads slowly gets everything, and who says too much
// is told so, also when the process has no descriptor left.
func TestLoopNoDescriptor(t *testing.T) {
	srv := &Server{Accounts: Credentials{"A": "a", "B": "b"}}
	dial, rested := restlessAt(t, srv, "unix", filepath.Join(t.TempDir(), "chat"))
	a, b := dial("A"), dial("B")
	<-rested
	<-rested
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	low := limit
	low.Cur = 200
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &low); err != nil {
		t.Fatal(err)
	}
	defer syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit)
	for { // until there is none
		fd, err := dup(0)
		if err != nil {
			break
		}
		defer syscall.Close(fd)
	}
	const most = 200 // several times what the system takes
	for n := range most {
		a.say("SEND n=%d to=B :%s\r\n", n+1, strings.Repeat("x", 4000))
	}
	a.say("BLOK n=201 user=%s", strings.Repeat("x", 30<<10)) // a line that is too long
	a.say("%s\r\n", strings.Repeat("x", 20<<10))
	for l := ""; !strings.HasPrefix(l, "500 "); {
		var err error
		if l, err = a.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
	for n := range most {
		b.want(fmt.Sprintf("MESG from=A id=a.%d ", n+1))
	}
}

// TestLoopServeConn: a connection of the application's ends when that closes it.
func TestLoopServeConn(t *testing.T) {
	srv := &Server{Accounts: Credentials{"A": "a"}}
	t.Cleanup(func() { srv.Close() })
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	nc, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	theirs, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- srv.ServeConn(theirs) }()
	a := &idler{nc, bufio.NewReader(nc), t}
	a.say("HELO v=1 acks=1 pres=0 beat=60000\r\nAUTH user=A pass=a origin=a\r\n")
	a.want("220 ")
	a.want("230 ")
	a.say("LSTN n=1\r\n")
	a.want("501 ")
	theirs.Close()
	a.want("")
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestLoopNoAcks: who does not acknowledge deliveries is in an event loop, too,
// though he says nothing after his login, and whatever he is told during it.
func TestLoopNoAcks(t *testing.T) {
	const clients = 100
	srv := &Server{Accounts: Credentials{}}
	for i := range clients {
		srv.Accounts.(Credentials)[fmt.Sprint("u", i)] = "x"
	}
	address := filepath.Join(t.TempDir(), "chat")
	restlessAt(t, srv, "unix", address)
	var all sync.WaitGroup
	for i := range clients {
		nc, err := net.Dial("unix", address)
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		all.Go(func() {
			u := &idler{nc, bufio.NewReader(nc), t}
			u.say("HELO v=1\r\n")
			u.want("220 ")
			u.say("AUTH user=u%d pass=x\r\n", i)
			u.want("230 ")
		})
	}
	all.Wait()
	for end := time.Now().Add(10 * time.Second); watched(srv) < clients; <-time.After(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d of %d are watched", watched(srv), clients)
		}
	}
}

// TestLoopQuit: who quits sees the end before the server closes the socket, and
// is not reset for what he says then.
func TestLoopQuit(t *testing.T) {
	dial, _ := restless(t, new(Server))
	for attempt := 0; ; attempt++ { // the server waits for a second, and the machine may be slow
		a := dial("A")
		a.say("QUIT n=1\r\n")
		a.want("221 ")
		a.want("")
		a.say("LIVE\r\n")
		_, err := fmt.Fprint(a, "LIVE\r\n")
		if err == nil {
			return
		}
		if attempt == 4 {
			t.Fatal(err)
		}
	}
}

// TestLoopNeverReads: who lives and reads nothing is cut off after the Timeout.
func TestLoopNeverReads(t *testing.T) {
	srv := &Server{Timeout: time.Second, Accounts: Credentials{"A": "a", "B": "b"}}
	dial, _ := restlessAt(t, srv, "unix", filepath.Join(t.TempDir(), "chat"))
	a, b := dial("A"), dial("B")
	for n := range 200 { // several times what the system takes
		a.say("SEND n=%d to=B :%s\r\n", n+1, strings.Repeat("x", 4000))
		a.want("201 ")
	}
	for end := time.Now().Add(20 * time.Second); ; <-time.After(50 * time.Millisecond) {
		if _, err := fmt.Fprint(b, "LIVE\r\n"); err != nil {
			return
		}
		if time.Now().After(end) {
			t.Fatal("B is not cut off")
		}
		a.say("LIVE\r\n")
	}
}

// TestLoopReadsSlowly: who is written to for a long time is read meanwhile, also
// before an event loop has had him, and gets everything.
func TestLoopReadsSlowly(t *testing.T) {
	srv := &Server{Accounts: Credentials{"A": "a", "B": "b"}}
	dial, _ := restlessAt(t, srv, "unix", filepath.Join(t.TempDir(), "chat"))
	const most = 200 // several times what the system takes
	text := strings.Repeat("x", 4000)
	a := dial("A")
	for n := range most {
		a.say("SEND n=%d to=B :%s\r\n", n+1, text)
		a.want("201 ")
	}
	for round := range 2 { // the first begins with all of it in his mailbox
		b := dial("B")
		for n := range 100 {
			b.say("BLOK n=%d user=B\r\n", n+1)
			if _, err := fmt.Fprintf(a, "BLOK n=%d user=A\r\n", most+100*round+n+1); err != nil {
				t.Fatal(err)
			}
			a.want("550 ")
		}
		for got, answered := 0, 0; got < most || answered < 100; {
			l, err := b.ReadString('\n')
			switch {
			case err != nil:
				t.Fatalf("after %d messages and %d answers: %v", got, answered, err)
			case strings.HasPrefix(l, "MESG "):
				if got++; !strings.Contains(l, fmt.Sprintf(" id=a.%d ", got)) || !strings.HasSuffix(l, text+"\r\n") {
					t.Fatalf("message %d is %.40q", got, l)
				}
			case strings.HasPrefix(l, "550 "):
				answered++
			}
		}
	}
}

// TestLoopless: where there is no event loop a connection reads by itself.
func TestLoopless(t *testing.T) {
	srv := &Server{Timeout: time.Second}
	srv.loops.over = true
	dial, _ := restless(t, srv)
	a, b := dial("A"), dial("B")
	a.say("SEND n=1 to=B :he")
	a.say("%s", "llo\r\nSEND n=2 to=B :"+strings.Repeat("x", 60<<10)+"\r\nSEND n=3 to=B :again\r\n")
	b.want("MESG from=A id=a.1 ")
	b.want("MESG from=A id=a.3 ")
	b.say("ACKD count=2\r\n")
	a.want("201 n=1 ")
	a.want("500 ")
	a.want("201 n=3 ")
	other := dial("A")
	a.want("")
	b.say("QUIT n=1\r\n")
	b.want("221 n=1")
	b.want("")
	other.want("GBYE why=timeout")
	other.want("")
	if n := watched(srv); n > 0 {
		t.Errorf("%d connections are watched", n)
	}
}

// TestLoopStall: a machine that stood still for longer than the Timeout logs
// out nobody who has said something meanwhile.
func TestLoopStall(t *testing.T) {
	var srv *Server
	var all []*idler
	var rested chan struct{}
	for timeout := 2 * time.Second; ; timeout *= 2 {
		begun := time.Now()
		srv = &Server{Timeout: timeout}
		all, rested = manyOnLoops(t, srv, eventsPerRound+10)
		for range all {
			<-rested
		}
		if time.Since(begun) < timeout/2 { // else a slow machine might log out the first of them
			break
		}
		srv.Close()
	}
	for _, l := range srv.loops.all {
		l.mu.Lock() // before it looks the next time, which is soon
	}
	<-time.After(100 * time.Millisecond)
	for _, i := range all {
		i.say("LSTN n=1\r\n")
	}
	<-time.After(srv.Timeout) // all of them would be silent for too long by now
	for _, l := range srv.loops.all {
		l.mu.Unlock()
	}
	for _, i := range all {
		i.want("501 n=1 ")
	}
}
