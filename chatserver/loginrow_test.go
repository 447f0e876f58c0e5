package chatserver

import (
	"bufio"
	"io"
	"strings"
	"testing"
	"time"
)

// TestLoginWritesTheWindowAsItStands: between a login's look at the window of
// its origin and its row in the batch, the connection that it takes over from
// decides nothing. Else that could be stored first, and the row take it back.
func TestLoginWritesTheWindowAsItStands(t *testing.T) {
	srv := &Server{Accounts: revAccounts}
	first, _ := revConn2(srv)
	revLogin(first, "A")
	for said := bufio.NewScanner(first); said.Scan() && !strings.HasPrefix(said.Text(), "230 "); {
	}
	go io.Copy(io.Discard, first)
	o := srv.roster.session("A").origin
	srv.commit.mu.Lock() // the row must wait
	second, _ := revConn2(srv)
	go io.Copy(io.Discard, second)
	revLogin(second, "A")
	held := 0
	look := time.NewTicker(time.Millisecond) // a lock tells nobody
	defer look.Stop()
	for timeout := time.After(10 * time.Second); held < 50; held++ {
		select {
		case <-look.C:
		case <-timeout:
			t.Error("while a login writes the window, the connection before it may decide")
			held = 50
		}
		if held < 50 && o.mu.TryLock() {
			o.mu.Unlock()
			held = -1
		}
	}
	srv.commit.mu.Unlock()
	srv.Close()
}
