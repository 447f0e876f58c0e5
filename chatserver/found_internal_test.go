package chatserver

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parleyproto/parley/chatproto"
	"github.com/parleyproto/parley/chatserver/internal/memnet"
	"github.com/parleyproto/parley/chatserver/store"
	"github.com/parleyproto/parley/chatserver/store/memstore"
)

var revAccounts = Credentials{"A": "passA", "B": "passB", "C": "passC"}

// revConn is a client of srv, and srv's end of it.
func revConn(srv *Server) (*memnet.Conn, func() *conn) {
	near, far := memnet.Pipe("127.0.0.1:50000", "127.0.0.1:8000")
	go srv.ServeConn(far)
	return near, func() *conn {
		synctest.Wait()
		srv.mu.Lock()
		defer srv.mu.Unlock()
		for c := range srv.conns {
			if c.nc == far {
				return c
			}
		}
		return nil
	}
}

func revSay(nc *memnet.Conn, lines ...string) {
	nc.Write([]byte(strings.Join(lines, "\r\n") + "\r\n"))
}

func revLogin(nc *memnet.Conn, user string) {
	revSay(nc, "HELO v=1 acks=1 beat=30000 pres=0", fmt.Sprintf("AUTH user=%s pass=pass%s origin=%x", user, user, user))
}

func (c *conn) kept() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return cap(c.out)
}

// What waits for a client that does not read is bounded, whoever causes it.
func TestConsentFloodsASlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := &Server{Accounts: revAccounts}
		defer srv.Close()
		a, ofA := revConn(srv)
		b, _ := revConn(srv)
		go io.Copy(io.Discard, b)
		revLogin(a, "A")
		revLogin(b, "B")
		synctest.Wait()
		revSay(a, "ADDR n=1 user=B")
		connOfA := ofA()
		revSay(b, "LSTN n=1 port=2000")
		for range 100 {
			revSay(b, strings.TrimSuffix(strings.Repeat("CNST user=A\r\n", 1000), "\r\n"))
			synctest.Wait()
		}
		if kept := connOfA.kept(); kept > 1<<20 {
			t.Errorf("100,000 lines of B (1.3 MB) make the server keep %d octets for A, who does not read", kept)
		}
	})
}

// A burst of ONLN behind one request that waits for the disk.
func TestOnlineAmplifies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := &revStore{Store: memstore.New()}
		accounts := Credentials{"A": "passA", "B": "passB"}
		srv := &Server{Accounts: accounts, Store: st}
		for i := range 1000 {
			accounts[fmt.Sprintf("%064d", i)] = "x"
		}
		for i := range 1000 { // as if they were online
			u, _ := srv.startedUser(fmt.Sprintf("%064d", i))
			srv.roster.enter(&session{user: u, origin: &origin{user: u}})
		}
		near, far := memnet.Pipe("127.0.0.1:50000", "127.0.0.1:8000")
		w := &revWrites{Conn: far}
		go srv.ServeConn(w)
		revLogin(near, "A")
		synctest.Wait()
		st.hold()
		revSay(near, "SEND n=1 to=B :waits")
		for n := range 500 {
			revSay(near, fmt.Sprintf("ONLN n=%d", n+2))
		}
		synctest.Wait()
		st.release()
		if most := w.most.Load(); most > 1<<20 {
			t.Errorf("6 KB of requests make the server keep %d octets for one client that does not read", most)
		}
		srv.Close()
	})
}

// revWrites notes the most octets that were written at once.
type revWrites struct {
	*memnet.Conn
	most atomic.Int64
}

func (w *revWrites) Write(p []byte) (int, error) {
	w.most.Store(max(w.most.Load(), int64(len(p))))
	return w.Conn.Write(p)
}

func (s *Server) startedUser(name string) (*user, error) {
	if err := s.start(); err != nil {
		return nil, err
	}
	return s.user(context.Background(), name)
}

// revStore is a store whose commits can be held up.
type revStore struct {
	store.Store
	mu   sync.Mutex
	gate chan struct{}
}

func (s *revStore) hold() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gate = make(chan struct{})
}

func (s *revStore) release() {
	s.mu.Lock()
	close(s.gate)
	s.gate = nil
	s.mu.Unlock()
	synctest.Wait()
}

func (s *revStore) Commit(ctx context.Context, b *store.Batch) error {
	s.mu.Lock()
	gate := s.gate
	s.mu.Unlock()
	if gate != nil {
		<-gate
	}
	return s.Store.Commit(ctx, b)
}

// SPEC section 9.2: not more than 16,384 octets before the login.
func TestStrangerMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := &Server{Accounts: revAccounts}
		defer srv.Close()
		a, ofA := revConn(srv)
		go revSay(a, "HELO v=1", strings.Repeat("ONLN n=1\r\n", 50_000))
		c := ofA()
		if kept := c.kept(); kept > 16_384 {
			t.Errorf("a stranger who does not read makes the server keep %d octets, beside what it is writing", kept)
		}
		a.Close()
	})
}

// Live chat that was acknowledged leaves nothing behind, however long a
// commit takes.
func TestHungStoreKeepsWhatWasDelivered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := &revStore{Store: memstore.New()}
		srv := &Server{Accounts: revAccounts, Store: st}
		a, _ := revConn(srv)
		b, _ := revConn(srv)
		c, _ := revConn(srv)
		for i, nc := range []*memnet.Conn{a, b, c} {
			go io.Copy(io.Discard, nc)
			revLogin(nc, string(rune('A'+i)))
		}
		synctest.Wait()
		revSay(c, "BLOK n=1 user=A", "UBLK n=2 user=A")
		st.hold()
		revSay(c, "BLOK n=3 user=A")
		for n := range 5000 {
			revSay(a, fmt.Sprintf("SEND n=%d to=B :%s", n+1, strings.Repeat("x", 1000)))
			synctest.Wait()
			revSay(b, fmt.Sprintf("ACKD count=%d", n+1))
		}
		synctest.Wait()
		srv.commit.mu.Lock()
		kept := len(srv.commit.open.messages)
		srv.commit.mu.Unlock()
		if kept > 1000 {
			t.Errorf("%d messages are kept that were delivered and acknowledged", kept)
		}
		st.release()
		srv.Close()
	})
}

// A broadcast may come late into a mailbox by any number of places.
func TestLateBroadcastBlocksTheMailbox(t *testing.T) {
	accounts := Credentials{"A": "passA", "B": "passB", "C": "passC"}
	for i := range 8 {
		accounts[fmt.Sprint("x", i)] = "x"
	}
	srv := &Server{Accounts: accounts, MailboxMessages: 1 << 20}
	// Eight users online whose mailbox is busy: B comes behind at least one of them, nearly always.
	var busy []*user
	for i := range 8 {
		u, _ := srv.startedUser(fmt.Sprint("x", i))
		srv.roster.enter(&session{user: u, origin: &origin{user: u}})
		busy = append(busy, u)
	}
	bu, _ := srv.startedUser("B")
	srv.roster.enter(&session{user: bu, origin: &origin{user: bu}})
	reader := func(nc *memnet.Conn) func(prefix string, n int) bool {
		sc := bufio.NewScanner(nc)
		return func(prefix string, n int) bool {
			nc.SetReadDeadline(time.Now().Add(5 * time.Second))
			for n > 0 && sc.Scan() {
				if strings.HasPrefix(sc.Text(), prefix) {
					n--
				}
			}
			return n == 0
		}
	}
	a, _ := revConn2(srv)
	fromA := reader(a)
	revLogin(a, "A")
	c, _ := revConn2(srv)
	fromC := reader(c)
	revLogin(c, "C")
	if !fromA("230", 1) || !fromC("230", 1) {
		t.Fatal("no login")
	}
	revSay(a, "SEND n=1 to=B :x")
	fromA("201", 1)
	for _, u := range busy {
		u.box.mu.Lock()
	}
	seq := srv.seq.Load()
	revSay(c, "CAST n=1 :late")
	for srv.seq.Load() == seq {
		time.Sleep(0)
	}
	const mails = 400
	for n := 2; n <= mails; n++ {
		revSay(a, fmt.Sprintf("SEND n=%d to=B :x", n))
		fromA("201", 1)
	}
	for _, u := range busy {
		u.box.mu.Unlock()
	}
	fromC("201", 1)
	for n := mails + 1; n <= mails*2; n++ { // so that the search probes the broadcast
		revSay(a, fmt.Sprintf("SEND n=%d to=B :x", n))
		fromA("201", 1)
	}
	bu.box.mu.Lock()
	at, lost := -1, 0
	for i, w := range bu.box.queue {
		if w.seq == seq+1 {
			at = i
		}
		if bu.box.find(w.place) != i {
			lost++
		}
	}
	bu.box.mu.Unlock()
	t.Logf("the broadcast stands at %d; %d of %d places are not found", at, lost, mails*2+1)
	b, _ := revConn2(srv)
	fromB := reader(b)
	revLogin(b, "B")
	taken := 0
	for taken < mails*2 && fromB("MESG", 1) {
		taken++
		revSay(b, fmt.Sprintf("ACKD count=%d", taken))
		if taken == at {
			if !fromB("BCST", 1) {
				break
			}
			taken++
		}
	}
	if taken < mails*2 {
		t.Errorf("after %d of %d deliveries nothing comes any more", taken, mails*2+1)
	}
	a.Close()
	b.Close()
	c.Close()
	srv.Close()
}

func revConn2(srv *Server) (*memnet.Conn, error) {
	near, far := memnet.Pipe("127.0.0.1:50000", "127.0.0.1:8000")
	go srv.ServeConn(far)
	return near, nil
}

// After a restart the size of mail is that on the wire, escapes counted.
func TestInFlightOctetsOfStoredMail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memstore.New()
		srv := &Server{Accounts: revAccounts, Store: st}
		a, _ := revConn(srv)
		go io.Copy(io.Discard, a)
		revLogin(a, "A")
		for n := range 256 {
			revSay(a, fmt.Sprintf("SEND n=%d to=B :%s", n+1, strings.Repeat(`\n`, 3500)))
			synctest.Wait()
		}
		a.Close()
		srv.Close()
		srv = &Server{Accounts: revAccounts, Store: st}
		defer srv.Close()
		b, _ := revConn(srv)
		var sum atomic.Int64
		go func() {
			sc := bufio.NewScanner(b)
			for sc.Scan() {
				sum.Add(int64(len(sc.Text()) + 2))
			}
		}()
		revLogin(b, "B")
		synctest.Wait()
		if limit := chatproto.V1.Limits.InFlightBytes; sum.Load() > int64(limit)+8192 {
			t.Errorf("%d octets in flight, the limit is %d", sum.Load(), limit)
		}
		b.Close()
	})
}

// The welcome counts who is online, with the mailbox locked. When somebody
// else waits to enter the roster, and a CAST that holds the roster waits for
// this mailbox, nobody moves.
func TestWelcomeTakesTheRosterLate(t *testing.T) {
	srv := &Server{Accounts: revAccounts}
	first, _ := revConn2(srv)
	go io.Copy(io.Discard, first)
	revSay(first, "HELO v=1 acks=1 beat=30000", "AUTH user=A pass=passA origin=a")
	u, _ := srv.startedUser("A")
	var sess *session
	for sess == nil || sess.attached() == nil {
		sess = srv.roster.session("A")
	}
	first.Close()
	for sess.attached() != nil {
	}
	u.box.mu.Lock()
	srv.roster.mu.RLock() // the test is the CAST
	second, _ := revConn2(srv)
	go io.Copy(io.Discard, second)
	revSay(second, "HELO v=1 acks=1 beat=30000", "AUTH user=A pass=passA origin=a")
	for sess.origin.conn.Load() == nil {
	}
	b := &user{name: "B"}
	go srv.roster.enter(&session{user: b, origin: &origin{user: b}})
	for srv.roster.mu.TryRLock() {
		srv.roster.mu.RUnlock()
	}
	u.box.mu.Unlock()
	blocked := true
	for end := time.Now().Add(3 * time.Second); blocked && time.Now().Before(end); {
		if u.box.mu.TryLock() { // what deliver does next
			blocked = u.box.conn == nil
			u.box.mu.Unlock()
		}
	}
	if blocked {
		t.Error("the login holds mailbox.mu and waits for roster.mu, which a CAST that waits for mailbox.mu holds")
	}
	srv.roster.mu.RUnlock()
	second.Close()
	srv.Close()
}

// Run with -race: an ACKD of a client that does not acknowledge, while it is
// written to.
func TestRaceOfAckdWithoutAcks(t *testing.T) {
	release := make(chan struct{})
	srv := &Server{Accounts: revAccounts, Hooks: Hooks{
		OnDelivered: func(context.Context, Delivered) { <-release }, // on the writer's goroutine
	}}
	a, _ := revConn2(srv)
	go io.Copy(io.Discard, a)
	b, _ := revConn2(srv)
	revLogin(a, "A")
	revSay(a, "SEND n=1 to=B :x")
	revSay(b, "HELO v=1", "AUTH user=B pass=passB")
	sc := bufio.NewScanner(b)
	for sc.Scan() && !strings.HasPrefix(sc.Text(), "MESG") {
	}
	revSay(b, "ACKD count=1")
	ended := make(chan struct{})
	go func() {
		for sc.Scan() {
		}
		close(ended)
	}()
	srv.start()
	for {
		srv.mu.Lock()
		said := false
		for c := range srv.conns {
			c.mu.Lock()
			said = said || c.bye != nil
			c.mu.Unlock()
		}
		srv.mu.Unlock()
		if said {
			break
		}
	}
	close(release)
	<-ended
	srv.Close()
}

// A hook refuses; what it returns cannot accept.
func TestHookAnswersWithSuccess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := &Server{Accounts: revAccounts, Hooks: Hooks{
			AuthorizeMessage: func(context.Context, Outgoing) error { return &chatproto.Error{Code: chatproto.ReplyAccepted} },
		}}
		defer srv.Close()
		a, _ := revConn(srv)
		var got strings.Builder
		go io.Copy(&got, a)
		revLogin(a, "A")
		revSay(a, "SEND n=1 to=B :x")
		synctest.Wait()
		if strings.Contains(got.String(), "201 n=1") {
			t.Error("a message that the hook refused is answered 201")
		}
		a.Close()
	})
}

// SPEC section 7.4: who is not in Ready after 30 s gets GBYE, whatever the
// server waits for.
func TestLoginWhileStoreFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := &revStore{Store: memstore.New()}
		srv := &Server{Accounts: revAccounts, Store: st}
		st.hold()
		a, _ := revConn(srv)
		var got strings.Builder
		go io.Copy(&got, a)
		revLogin(a, "A")
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if !strings.Contains(got.String(), "GBYE") && !strings.Contains(got.String(), "\n4") {
			t.Errorf("10 minutes after the AUTH there is no answer, and no end: %q", got.String())
		}
		st.release()
		a.Close()
		srv.Close()
	})
}

// Run with -race: one connection ends while the user logs in with a new
// origin.
func TestRaceOfOriginLast(t *testing.T) {
	for range 100 {
		srv := &Server{Accounts: revAccounts}
		a, _ := revConn2(srv)
		a2, _ := revConn2(srv)
		out := bufio.NewScanner(a)
		revSay(a2, "HELO v=1")
		revSay(a, "HELO v=1", "AUTH user=A pass=passA origin=1", "QUIT n=1")
		for out.Scan() && !strings.HasPrefix(out.Text(), "221") {
		}
		go io.Copy(io.Discard, a2)
		a.Close()
		revSay(a2, "AUTH user=A pass=passA origin=2", "QUIT n=1")
		u, _ := srv.startedUser("A")
		for {
			u.login.Lock()
			n := len(u.origins)
			u.login.Unlock()
			if n == 2 {
				break
			}
		}
		a2.Close()
		srv.Close()
	}
}
