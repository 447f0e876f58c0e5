package chatclient_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parleyproto/parley/chatclient"
	"github.com/parleyproto/parley/chatclient/internal/crashfs"
	"github.com/parleyproto/parley/chatproto"
)

// A privateWorld is a server, and a user C who has consented to a private chat
// with B: the program that dies and comes back.
type privateWorld struct {
	t    *testing.T
	net  *peerNet
	gone bool // the session is over when the program is back

	mu       sync.Mutex
	die      func()
	dead     bool
	lines    []net.Conn      // of the life that is lived
	logins   int             // before it
	decided  map[string]*win // by origin
	texts    map[string]string
	shown    map[string]int  // by C
	begun    map[string]bool // texts whose Private was called
	ok       map[string]bool // texts whose Private returned nil
	outcomes map[string][]error
	resent   int
	faults   []string
}

// A win is how C decided the numbers of an origin.
type win struct{ chatproto.Window }

func (w *privateWorld) fault(format string, args ...any) {
	w.faults = append(w.faults, fmt.Sprintf(format, args...))
}

// dial is a connection to the server.
func (w *privateWorld) dial(context.Context) (net.Conn, error) {
	client, end := net.Pipe()
	w.mu.Lock()
	w.lines = append(w.lines, end)
	w.mu.Unlock()
	go func() {
		defer end.Close()
		rd := chatproto.NewReader(end)
		var f chatproto.Frame
		for rd.Next(&f) == nil {
			w.mu.Lock()
			answer := ""
			if !w.dead {
				answer = w.answer(&f)
			}
			w.mu.Unlock()
			if _, err := io.WriteString(end, strings.ReplaceAll(answer, "\n", "\r\n")); err != nil || f.Code == chatproto.QUIT {
				return
			}
		}
	}()
	return client, nil
}

func (w *privateWorld) answer(f *chatproto.Frame) string {
	n := f.Value("n")
	switch f.Code {
	case chatproto.HELO:
		return "220 v=1 mech=PLAIN boot=9c t=0\n"
	case chatproto.AUTH:
		fresh, known := 0, 1
		if w.logins == 0 || w.gone {
			fresh, known = 1, min(w.logins, 1)
		}
		return fmt.Sprintf("230 user=B new=%d known=%d high=0 mail=0\n", fresh, known)
	case chatproto.LSTN:
		return "200 n=" + n + "\n"
	case chatproto.ADDR:
		return "202 n=" + n + "\nGETA user=C addr=127.0.0.1 port=28403 ttl=600000 key=" + keyOf(w.t, "C") + "\n"
	case chatproto.LIVE:
		return "LIVE\n"
	case chatproto.QUIT:
		return "221 n=" + n + "\n"
	}
	w.fault("the server is sent a %s", f.Code)
	return ""
}

// take is a private line, as C takes it.
func (w *privateWorld) take(nc net.Conn) {
	defer nc.Close()
	line := tls.Server(nc, lineTLS(w.t, "C"))
	rd := chatproto.NewReader(line)
	var f chatproto.Frame
	if rd.Next(&f) != nil || f.Code != chatproto.PEER {
		return
	}
	origin := f.Value("origin")
	fmt.Fprint(line, "220 v=1\r\n")
	for rd.Next(&f) == nil && f.Code == chatproto.MESG {
		n, _ := f.Uint("n")
		text, _ := chatproto.MessageText("B", f.Description)
		w.mu.Lock()
		dead := w.dead
		if !dead {
			w.decide(origin, n, string(text))
		}
		w.mu.Unlock()
		if dead {
			return
		}
		time.Sleep(time.Millisecond / 2)
		fmt.Fprintf(line, "201 n=%d\r\n", n)
	}
	if f.Code == chatproto.QUIT {
		fmt.Fprint(line, "221\r\n")
	}
}

func (w *privateWorld) decide(origin string, n uint64, text string) {
	id := fmt.Sprint(origin, ".", n)
	if old, again := w.texts[id]; again && old != text {
		w.fault("%s was %q and is %q", id, old, text)
	}
	w.texts[id] = text
	d := w.decided[origin]
	if d == nil {
		d = new(win)
		w.decided[origin] = d
	}
	switch d.Look(n) {
	case chatproto.Accepted:
		w.resent++
	case chatproto.Refused:
		w.fault("%s comes after a later one", id)
	default:
		d.Decide(n, true)
		w.shown[text]++
	}
}

func (w *privateWorld) kill() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dead = true
	w.die()
	for _, nc := range w.lines {
		nc.Close()
	}
}

// live is one life of the program.
func (w *privateWorld) live(fs *crashfs.FS, sends int, mutate func(*chatclient.StateFile)) {
	ctx, die := context.WithCancel(context.Background())
	w.mu.Lock()
	w.dead, w.die, w.lines = false, die, nil
	w.mu.Unlock()
	must := func(err error) bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		if err != nil && !w.dead {
			w.fault("%v", err)
		}
		return err == nil
	}
	file, err := chatclient.OpenStateFileOn(fs, "state")
	if !must(err) {
		return
	}
	mutate(file)
	addresses := make(chan chatclient.Address, 10)
	cfg := chatclient.Config{Dial: w.dial, Cleartext: chatclient.CleartextLocal, User: "B", Password: "secret", StateFile: file, Identity: identityOf(w.t, "B"),
		Callbacks: chatclient.Callbacks{OnOutcome: w.onOutcome, OnAddress: func(_ context.Context, a chatclient.Address) { addresses <- a }}}
	cfg.PeerNetwork(nil, func(ctx context.Context, _, addr string) (net.Conn, error) {
		nc, err := w.net.dial(ctx, "tcp", addr)
		if err == nil {
			w.mu.Lock()
			w.lines = append(w.lines, nc)
			w.mu.Unlock()
		}
		return nc, err
	})
	c, err := chatclient.Dial(ctx, cfg)
	if !must(err) {
		return
	}
	w.mu.Lock()
	w.logins++
	w.mu.Unlock()
	if err := c.RequestAddress(ctx, "C"); must(err) {
		select {
		case <-addresses:
		case <-ctx.Done():
		}
	}
	for range sends {
		var pair sync.WaitGroup
		pair.Go(func() { w.send(ctx, c) })
		pair.Go(func() { w.send(ctx, c) })
		pair.Wait()
	}
	synctest.Wait()
	must(c.Logout(ctx))
	c.Close()
	<-c.Done()
	must(file.Close())
}

func (w *privateWorld) send(ctx context.Context, c *chatclient.Client) {
	w.mu.Lock()
	text := fmt.Sprint("text ", len(w.begun))
	if w.dead {
		w.mu.Unlock()
		return
	}
	w.begun[text] = true
	w.mu.Unlock()
	_, err := c.Private(ctx, "C", text)
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case err == nil && !w.dead:
		w.ok[text] = true
	case !w.dead:
		w.fault("%s: %v", text, err)
	}
}

func (w *privateWorld) onOutcome(_ context.Context, o chatclient.Outcome) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.dead {
		return
	}
	w.outcomes[o.Text] = append(w.outcomes[o.Text], o.Err)
	if !o.Private || o.To != "C" || o.Broadcast || o.Err == nil && o.How != chatclient.Delivered || o.Err != nil && !errors.Is(o.Err, chatclient.ErrUnknown) {
		w.fault("%+v", o)
	}
}

// check looks at what must hold when all is over: left messages were in the
// file when the program came back, and resent lists those that came again.
func (w *privateWorld) check(left int) {
	for text, times := range w.shown {
		if times > 1 {
			w.fault("%s is shown %d times", text, times)
		}
		if !w.ok[text] && w.outcomes[text] == nil {
			w.fault("%s was taken and nobody was told", text)
		}
	}
	for text := range w.ok {
		if w.shown[text] != 1 {
			w.fault("%s was acknowledged and is lost", text)
		}
	}
	for text, errs := range w.outcomes {
		if len(errs) > 1 {
			w.fault("the outcome of %s is told %d times", text, len(errs))
		}
		if err := errs[0]; w.gone != (err != nil) || err == nil && w.shown[text] != 1 {
			w.fault("the outcome of %s, which was shown %d times, is %v", text, w.shown[text], err)
		}
	}
	if len(w.outcomes) != left {
		w.fault("%d were left, %d outcomes were told", left, len(w.outcomes))
	}
}

// privateCrash lets a program die at its step cut, in the middle of a private
// chat, and live again.
func privateCrash(t *testing.T, seed uint64, cut int, mutate func(*chatclient.StateFile)) (w *privateWorld, whole bool) {
	synctest.Test(t, func(t *testing.T) {
		dice := rand.New(rand.NewPCG(seed, uint64(cut)))
		w = &privateWorld{t: t, net: newPeerNet(), gone: seed%3 == 2, decided: map[string]*win{}, texts: map[string]string{}, shown: map[string]int{},
			begun: map[string]bool{}, ok: map[string]bool{}, outcomes: map[string][]error{}}
		ln, _ := w.net.listen("tcp", "")
		defer ln.Close()
		go func() {
			for nc, err := ln.Accept(); err == nil; nc, err = ln.Accept() {
				go w.take(nc)
			}
		}()
		fs := &crashfs.FS{}
		fs.Step = func(string) error {
			time.Sleep(time.Millisecond) // so that the network is faster than the disk
			if fs.Steps != cut {
				return nil
			}
			w.kill()
			fs.Cut()
			return crashfs.ErrCut
		}
		w.live(fs, 5, mutate)
		whole = fs.Steps < cut
		next := fs.Killed()
		if dice.IntN(3) > 0 {
			next = fs.PowerCut(dice)
		}
		file, err := chatclient.OpenStateFileOn(next, "state")
		if err != nil {
			t.Fatal(err)
		}
		left := file.Left()
		if err := file.Close(); err != nil {
			t.Fatal(err)
		}
		w.live(next, 2, mutate)
		w.mu.Lock()
		defer w.mu.Unlock()
		w.check(left)
	})
	return w, whole
}

const privateSeeds = 9

// Wherever a program dies in the middle of a private chat, each of its
// messages is shown once at most, and it is told once of each: taken, or, if
// its consent is gone when it is back, maybe taken.
func TestPrivateCrashAtEveryStep(t *testing.T) {
	crashes, resent, outcomes := 0, 0, 0
	for seed := range uint64(privateSeeds) {
		for cut := 1; ; cut++ {
			w, whole := privateCrash(t, seed, cut, func(*chatclient.StateFile) {})
			if len(w.faults) > 0 {
				slices.Sort(w.faults)
				t.Fatalf("seed %d, cut %d:\n%s", seed, cut, strings.Join(w.faults, "\n"))
			}
			if whole {
				if cut < 20 {
					t.Fatalf("only %d steps", cut)
				}
				break
			}
			crashes++
			resent += w.resent
			outcomes += len(w.outcomes)
		}
	}
	t.Logf("%d crashes: %d messages sent again that had been taken, %d outcomes told", crashes, resent, outcomes)
	if resent == 0 || outcomes == 0 {
		t.Error("nothing was sent again")
	}
}

// A client that sends before the file is synced is caught.
func TestPrivateCrashMutant(t *testing.T) {
	for seed := range uint64(privateSeeds) {
		for cut := 1; ; cut++ {
			w, whole := privateCrash(t, seed, cut, func(f *chatclient.StateFile) { f.Mutate(false, false, true) })
			if faults := strings.Join(w.faults, "\n"); strings.Contains(faults, "was taken and nobody was told") {
				t.Logf("seed %d, cut %d: %s", seed, cut, faults)
				return
			}
			if whole {
				break
			}
		}
	}
	t.Error("the mutant lives")
}
