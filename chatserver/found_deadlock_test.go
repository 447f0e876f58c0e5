package chatserver_test

import (
	"bufio"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/parleyproto/parley/chatserver"
	"github.com/parleyproto/parley/chatserver/internal/memnet"
)

// A CAST holds roster.mu and takes mailbox.mu. Whoever has mailbox.mu must not
// take roster.mu: not when mail is read back, and not in the welcome, where
// the RLock waits for a writer that waits for the CAST.
func TestCastAndMailDeadlock(t *testing.T) {
	accounts := chatserver.Credentials{"A": "passA", "C": "passC"}
	for i := range 20 {
		accounts[fmt.Sprint("u", i)] = fmt.Sprint("passu", i)
	}
	srv := &chatserver.Server{Accounts: accounts, AnnounceLimit: 1, MailboxMessages: 1 << 20, MailboxBytes: 1 << 30}
	var progress atomic.Int64
	stop := make(chan struct{})
	session := func(user string, lines func(n int) string, reads int) {
		near, far := memnet.Pipe(revLocal, "127.0.0.1:8000")
		go srv.ServeConn(far)
		defer near.Close()
		go fmt.Fprintf(near, "HELO v=1 acks=1 pres=0 beat=30000\r\nAUTH user=%s pass=pass%s origin=%x\r\n", user, user, user)
		sc := bufio.NewScanner(near)
		for n := 0; sc.Scan() && n < reads; {
			select {
			case <-stop:
				return
			default:
			}
			if strings.HasPrefix(sc.Text(), "230") || strings.HasPrefix(sc.Text(), "201") {
				n++
				if lines != nil {
					go near.Write([]byte(lines(n)))
				}
			}
			if strings.HasPrefix(sc.Text(), "MESG") {
				n++
			}
			progress.Add(1)
		}
	}
	// Mail for everybody, so that a login reads it back.
	session("A", func(n int) string {
		return fmt.Sprintf("SEND n=%d to=u%d :mail\r\n", n, n%20)
	}, 200)
	for i := range 20 {
		go func() {
			for {
				select {
				case <-stop:
					return
				default:
					session(fmt.Sprint("u", i), nil, 3) // the welcome and some mail, and away
				}
			}
		}()
	}
	go session("C", func(n int) string { return fmt.Sprintf("CAST n=%d :all\r\n", n) }, 1<<30)
	// After a second of that there still is movement, or there never will be.
	<-time.After(time.Second)
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	timeout := time.After(30 * time.Second)
	for last := progress.Load(); progress.Load() == last; {
		select {
		case <-look.C:
		case <-timeout:
			close(stop)
			t.Fatalf("nothing moves any more (after %d frames)", last)
		}
	}
	close(stop)
	srv.Close()
}
