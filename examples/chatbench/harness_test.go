package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/parleyproto/parley/chatserver"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var update = flag.Bool("update", false, "rewrite the golden files")

// golden compares with a file in testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", file, diff)
	}
}

// serve runs a server with the accounts that chatbench writes, and returns its
// address.
func serve(t *testing.T, secure *tls.Config) string {
	t.Helper()
	var file bytes.Buffer
	if err := run(t.Context(), []string{"accounts", "100"}, nil, &file, io.Discard); err != nil {
		t.Fatal(err)
	}
	accounts, err := chatserver.ParseCredentials(&file)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &chatserver.Server{Accounts: accounts, TLSConfig: secure, MailboxMessages: 1e6, MailboxBytes: 1 << 30}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
		if err := <-served; !errors.Is(err, chatserver.ErrServerClosed) {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

// small are flags that make a run short.
var small = []string{"-duration", "200ms", "-warmup", "50ms", "-awake=false", "-q",
	"-pairs", "3", "-receivers", "5", "-conns", "10", "-senders", "2", "-repeat", "1"}

// bench runs chatbench and returns what it writes.
func runBench(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out, told bytes.Buffer
	err := run(t.Context(), args, nil, &out, &told)
	if testing.Verbose() && told.Len() > 0 {
		t.Log(told.String())
	}
	return out.String(), err
}

func withServerFigures(args []string) []string {
	if runtime.GOOS != "linux" {
		return args
	}
	return append(args, "-pid", fmt.Sprint(os.Getpid()))
}

// A proxy stands between chatbench and a server, and does with the lines of
// the server what fault says: pass them on, or others, or none.
type proxy struct {
	to      string
	fault   func(line string) []string
	mu      sync.Mutex // held in fault
	running sync.WaitGroup
}

// startProxy returns the proxy's address.
func startProxy(t *testing.T, to string, fault func(line string) []string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{to: to, fault: fault}
	p.running.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			p.running.Go(func() { p.pass(client) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		p.running.Wait()
	})
	return l.Addr().String()
}

func (p *proxy) pass(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", p.to)
	if err != nil {
		return
	}
	p.running.Go(func() {
		io.Copy(server, client)
		server.Close()
	})
	for r := bufio.NewReader(server); ; {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		p.mu.Lock()
		lines := p.fault(strings.TrimSuffix(line, "\r\n"))
		p.mu.Unlock()
		for _, line := range lines {
			if _, err := io.WriteString(client, line+"\r\n"); err != nil {
				return
			}
		}
	}
}
