package chatclient_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/parleyproto/parley/chatclient"
	"github.com/parleyproto/parley/chatserver"
)

func fileSize(t *testing.T, path string) int64 {
	t.Helper()
	is, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return is.Size()
}

// victim is the program that is killed. It writes into a diary what it does:
// "send T" before a Send, "sent T" after one, "got T" in the callback, "took T"
// when the acknowledgement of T goes out.
func victim(addr, dir string) error {
	diary, err := os.OpenFile(filepath.Join(dir, "diary"), os.O_APPEND|os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	file, err := chatclient.OpenStateFile(filepath.Join(dir, "state"))
	if err != nil {
		return err
	}
	var came []string // on this connection
	took := 0         // of them
	cfg := chatclient.Config{Addr: addr, Cleartext: chatclient.CleartextLocal, User: "victim", Password: "x", StateFile: file}
	cfg.Callbacks.OnMessage = func(_ context.Context, m chatclient.Message) error {
		_, err := fmt.Fprintf(diary, "got %s\n", m.Text)
		return err
	}
	cfg.Trace = func(sent bool, line []byte) {
		var n int
		_, text, _ := strings.Cut(string(line), ": ")
		switch {
		case sent && strings.HasPrefix(string(line), "HELO"):
			came, took = nil, 0
		case strings.HasPrefix(string(line), "MESG"):
			came = append(came, text)
		case sent && strings.HasPrefix(string(line), "ACKD"):
			fmt.Sscanf(string(line), "ACKD count=%d", &n)
			for _, text := range came[took:n] {
				fmt.Fprintf(diary, "took %s\n", text)
			}
			took = n
		}
	}
	c, err := chatclient.Dial(context.Background(), cfg)
	if err != nil {
		return err
	}
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			for n := 0; ; n++ {
				text := fmt.Sprintf("%d.%d.%d", os.Getpid(), i, n)
				fmt.Fprintf(diary, "send %s\n", text)
				if _, err := c.Send(context.Background(), "peer", text); err != nil {
					return
				}
				fmt.Fprintf(diary, "sent %s\n", text)
			}
		})
	}
	all.Wait()
	return c.Err()
}

const victimAddr, victimDir = "CHATCLIENT_VICTIM_ADDR", "CHATCLIENT_VICTIM_DIR"

// A program that is killed over and over while it sends and receives loses
// nothing that was acknowledged to it, sends nothing twice, and is shown
// nothing again whose acknowledgement it gave.
func TestKill9(t *testing.T) {
	if addr := os.Getenv(victimAddr); addr != "" {
		t.Fatal(victim(addr, os.Getenv(victimDir)))
	}
	dir := t.TempDir()
	srv := &chatserver.Server{Accounts: chatserver.Credentials{"victim": "x", "peer": "x"}}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := async(func() error { return srv.Serve(ln) })
	defer func() { srv.Close(); <-served }()

	var mu sync.Mutex
	arrived := map[string]int{}
	ended := make(chan struct{})
	peer, err := chatclient.Dial(t.Context(), chatclient.Config{Addr: ln.Addr().String(), Cleartext: chatclient.CleartextLocal, User: "peer", Password: "x",
		Callbacks: chatclient.Callbacks{OnMessage: func(_ context.Context, m chatclient.Message) error {
			mu.Lock()
			defer mu.Unlock()
			arrived[m.Text]++
			if m.Text == "the end" {
				close(ended)
			}
			return nil
		}}})
	if err != nil {
		t.Fatal(err)
	}
	defer end(peer)
	ctx, stop := context.WithCancel(t.Context())
	told := async(func() (n int) {
		for ; ctx.Err() == nil; n++ {
			if _, err := peer.Send(ctx, "victim", fmt.Sprint("m", n)); err != nil {
				return n
			}
		}
		return n
	})
	for i := 0; i < 8 || i < 80 && !enough(dir); i++ {
		killAfter(t, ln.Addr().String(), dir, 1+int64(i%8)*3000)
	}
	stop()
	t.Logf("the peer sent %d", <-told)
	checkKilled(t, ln.Addr().String(), dir, ended, func(text string) int {
		mu.Lock()
		defer mu.Unlock()
		return arrived[text]
	})
}

// killAfter starts the victim, and kills it when its diary has grown by so many
// octets: a time would not do, for a slow machine would not let it begin.
func killAfter(t *testing.T, addr, dir string, octets int64) {
	t.Helper()
	diary := filepath.Join(dir, "diary")
	size := func() int64 {
		if _, err := os.Stat(diary); err != nil {
			return 0
		}
		return fileSize(t, diary)
	}
	enough := size() + octets
	cmd := exec.Command(os.Args[0], "-test.run=^TestKill9$")
	cmd.Env = append(os.Environ(), victimAddr+"="+addr, victimDir+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	said := async(func() (said []string) {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			said = append(said, lines.Text()) // why it ended by itself
		}
		return said
	})
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	timeout := time.After(time.Minute)
	for size() < enough && len(said) == 0 {
		select {
		case <-tick.C:
		case <-timeout:
			t.Error("the victim does nothing")
			enough = 0
		}
	}
	cmd.Process.Kill()
	if said := <-said; len(said) > 0 {
		t.Error(said)
	}
	cmd.Wait()
}

// enough reports whether the diary tells of enough to be worth a look.
func enough(dir string) bool {
	diary, _ := os.ReadFile(filepath.Join(dir, "diary"))
	return strings.Count(string(diary), "sent ") >= 100 && strings.Count(string(diary), "took ") >= 100
}

// checkKilled lets the victim's state tell its last outcomes, and reads the
// diary.
func checkKilled(t *testing.T, addr, dir string, ended <-chan struct{}, arrived func(string) int) {
	file, err := chatclient.OpenStateFile(filepath.Join(dir, "state"))
	if err != nil {
		t.Fatal(err)
	}
	left := file.Left()
	outcomes := make(chan chatclient.Outcome, 1000)
	c, err := chatclient.Dial(t.Context(), chatclient.Config{Addr: addr, Cleartext: chatclient.CleartextLocal, User: "victim", Password: "x", StateFile: file,
		Callbacks: chatclient.Callbacks{
			OnOutcome: func(_ context.Context, o chatclient.Outcome) { outcomes <- o },
		}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Send(t.Context(), "peer", "the end"); err != nil {
		t.Fatal(err)
	}
	<-ended // and all before it
	for range left {
		if o := <-outcomes; o.Err != nil || arrived(o.Text) != 1 {
			t.Errorf("%s arrived %d times, its outcome is %v", o.Text, arrived(o.Text), o.Err)
		}
	}
	end(c)
	if err := file.Close(); err != nil {
		t.Error(err)
	}
	diary, err := os.ReadFile(filepath.Join(dir, "diary"))
	if err != nil {
		t.Fatal(err)
	}
	took := map[string]bool{}
	count := map[string]int{}
	for line := range strings.Lines(string(diary)) {
		what, text, _ := strings.Cut(strings.TrimSpace(line), " ")
		count[what]++
		switch {
		case what == "sent" && arrived(text) != 1:
			t.Errorf("%s was accepted and arrived %d times", text, arrived(text))
		case what == "send" && arrived(text) > 1:
			t.Errorf("%s arrived %d times", text, arrived(text))
		case what == "got" && took[text]:
			t.Errorf("%s was acknowledged and is shown again", text)
		case what == "took":
			took[text] = true
		}
	}
	t.Logf("%v; at the end %d were left", count, left)
	if count["sent"] < 100 || count["took"] < 100 {
		t.Error("too little happened")
	}
}
