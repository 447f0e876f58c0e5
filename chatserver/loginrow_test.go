package chatserver

import (
	"io"
	"testing"
	"time"
)

// TestLoginWritesTheWindowAsItStands: between a login's look at the window of
// its origin and its row in the batch, the connection that it takes over from
// decides nothing. Else that could be stored first, and the row take it back.
func TestLoginWritesTheWindowAsItStands(t *testing.T) {
	srv := &Server{Accounts: revAccounts}
	first, _ := revConn2(srv)
	go io.Copy(io.Discard, first)
	revLogin(first, "A")
	srv.start()
	var sess *session
	for sess == nil || sess.attached() == nil {
		sess = srv.roster.session("A")
		time.Sleep(time.Millisecond)
	}
	o := sess.origin
	srv.commit.mu.Lock() // the row must wait
	second, _ := revConn2(srv)
	go io.Copy(io.Discard, second)
	revLogin(second, "A")
	held := 0
	for end := time.Now().Add(10 * time.Second); held < 50 && time.Now().Before(end); time.Sleep(time.Millisecond) {
		if held++; o.mu.TryLock() {
			o.mu.Unlock()
			held = 0
		}
	}
	if held < 50 {
		t.Error("while a login writes the window, the connection before it may decide")
	}
	srv.commit.mu.Unlock()
	srv.Close()
}
