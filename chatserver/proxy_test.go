package chatserver_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/parleyproto/parley/chatserver"
)

const proxyGolden = "testdata/proxy.golden"

// fromProxy is the address of a proxy in the tests.
const fromProxy = "192.0.2.1:999"

func behindProxy(l chatserver.Limits) *chatserver.Server {
	return &chatserver.Server{Accounts: demo, AllowCleartext: true, Limits: l, ProxyFrom: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/30")}}
}

// Each PROXY header of the golden file is understood as it says there: the
// connection has that address, or is refused. "x5" repeats what stands before
// it. Lines that start with # say why.
func TestProxyHeaders(t *testing.T) {
	file, err := os.ReadFile(proxyGolden)
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	sc := bufio.NewScanner(strings.NewReader(string(file)))
	for sc.Scan() {
		line := sc.Text()
		switch {
		case strings.HasPrefix(line, "= "):
			continue
		case strings.HasPrefix(line, "#"), line == "":
			fmt.Fprintln(&got, line)
			continue
		}
		header := ""
		for _, part := range strings.Split(line, " + ") {
			quoted, times, many := strings.Cut(part, ` x`)
			s, err := strconv.Unquote(quoted)
			n := 1
			if err == nil && many {
				n, err = strconv.Atoi(times)
			}
			if err != nil {
				t.Fatalf("%s: %v", part, err)
			}
			header += strings.Repeat(s, n)
		}
		fmt.Fprintf(&got, "%s\n= %s\n", line, throughProxy(t, header))
	}
	if *update {
		if err := os.WriteFile(proxyGolden, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(string(file), got.String()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// throughProxy says what becomes of a connection with this header: the
// address that the server takes for its own, and that it then reads on at the
// right octet.
func throughProxy(t *testing.T, header string) (result string) {
	synctest.Test(t, func(t *testing.T) {
		srv := behindProxy(chatserver.Limits{})
		var mu sync.Mutex
		srv.Hooks.OnConnect = func(_ context.Context, c chatserver.ConnInfo) {
			mu.Lock()
			defer mu.Unlock()
			result = c.RemoteAddr.String()
		}
		defer srv.Close()
		p := open(t, srv, fromProxy)
		p.say("%sHELO v=1", header)
		answer := p.next()
		mu.Lock()
		defer mu.Unlock()
		switch {
		case result == "" && answer == "(EOF)":
			result = "refused"
		case !strings.HasPrefix(answer, "220 "):
			result += ", and then " + answer
		}
	})
	return result
}

// A header has to come, from a proxy, in time; a connection that only looks
// whether the server is there is nothing to log. From others there is none.
func TestProxyHeaderRequired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log syncBuffer
		srv := behindProxy(chatserver.Limits{HandshakeTimeout: 7 * time.Second})
		srv.Logger = textLog(&log)
		defer srv.Close()
		begun := time.Now()
		p := open(t, srv, fromProxy)
		p.want("(EOF)")
		if took := time.Since(begun); took != 7*time.Second {
			t.Errorf("without a header it is closed after %v", took)
		}
		if !strings.Contains(log.String(), "level=WARN msg=\"a connection from a proxy is refused\" remote=192.0.2.1:999") {
			t.Errorf("the log has %s", log.String())
		}
		open(t, srv, fromProxy).nc.Close()
		synctest.Wait()
		if n := strings.Count(log.String(), "level=WARN"); n != 1 {
			t.Errorf("%d warnings: %s", n, log.String())
		}
		for _, header := range []string{"PROXY TCP4 198.51.100.9 192.0.2.9 1 2\r\n", "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xc6\x33\x64\x09\xc0\x00\x02\x09\x00\x01\x00\x02"} {
			p := open(t, srv, "192.0.2.4:1")
			io.WriteString(p.nc, header)
			p.want("500 at=")
			p.want("(EOF)")
		}
	})
}

// The address in the header is what cleartext, limits and lockouts go by; TLS
// may follow it.
func TestProxyAddressCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := behindProxy(chatserver.Limits{StrangersPerSource: 2})
		srv.AllowCleartext, srv.TLSConfig = false, serverTLS()
		defer srv.Close()
		via := func(from string) *linePeer {
			p := open(t, srv, fromProxy)
			fmt.Fprintf(p.nc, "PROXY TCP4 %s 192.0.2.9 1000 443\r\n", from)
			return p
		}
		p := via("198.51.100.1")
		p.say("HELO v=1")
		p.want("421 :This server takes cleartext")
		p.nc.Close()
		p = via("127.0.0.1")
		p.say("HELO v=1")
		p.want("220")
		time.Sleep(time.Second)
		for range 2 {
			via("198.51.100.1")
			synctest.Wait()
		}
		via("198.51.100.1").want("421 :Too many connections from your address")
		p = via("198.51.100.2")
		loginOver(t, tlsOver(p.nc), "A")
	})
}
