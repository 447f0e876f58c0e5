package chatserver_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parleyproto/parley/chatserver"
	"github.com/parleyproto/parley/chatserver/internal/memnet"
)

// A handshake has to be over in time, wherever it stalls and however slowly
// its octets come; one octet at a time is no fault. What is cut off is told
// nothing.
func TestHandshakeStalls(t *testing.T) {
	hello := clientHello(t)
	for _, test := range []struct {
		name string
		send []byte
		each time.Duration // between two octets
		want time.Duration
	}{
		{"after the first octet", hello[:1], 0, 10 * time.Second},
		{"in the ClientHello", hello[:len(hello)/2], 0, 10 * time.Second},
		{"after the ClientHello", hello, 0, 10 * time.Second},
		{"an octet every 100 ms", hello, 100 * time.Millisecond, 10 * time.Second},
		{"never begun", nil, 0, 30 * time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg := serverTLS()
				srv := &chatserver.Server{Accounts: demo, TLSConfig: cfg}
				defer srv.Close()
				near := dial(t, srv, "192.0.2.7:1")
				begun := time.Now()
				sent := make(chan bool)
				go func() {
					defer close(sent)
					for i := range test.send {
						if _, err := near.Write(test.send[i : i+1]); err != nil {
							return
						}
						time.Sleep(test.each)
					}
				}()
				got, err := io.ReadAll(near)
				if took := time.Since(begun); err != nil || took != test.want {
					t.Errorf("closed after %v (%v), want %v", took, err, test.want)
				}
				if len(test.send) > 0 && len(got) > 0 && got[0] != 0x16 && got[0] != 0x15 {
					t.Errorf("got %q", got)
				}
				<-sent
			})
		})
	}
	synctest.Test(t, func(t *testing.T) { // LoginTimeout is for all of it
		srv := &chatserver.Server{Accounts: demo, TLSConfig: serverTLS(), LoginTimeout: 12 * time.Second, Limits: chatserver.Limits{HandshakeTimeout: 10 * time.Second}}
		defer srv.Close()
		near := dial(t, srv, "192.0.2.7:1")
		begun := time.Now()
		time.Sleep(7 * time.Second)
		near.Write(hello[:9])
		io.ReadAll(near)
		if took := time.Since(begun); took != 12*time.Second {
			t.Errorf("closed after %v", took)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		srv := &chatserver.Server{Accounts: demo, TLSConfig: serverTLS()}
		defer srv.Close()
		p := loginOver(t, tls.Client(oneOctet{dial(t, srv, "192.0.2.7:1")}, clientTLS()), "A")
		p.say("QUIT n=1")
		p.want("221")
	})
}

// An oneOctet writes one octet at a time.
type oneOctet struct{ net.Conn }

func (o oneOctet) Write(p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		var k int
		k, err = o.Conn.Write(p[n : n+1])
		n += k
	}
	return n, err
}

// clientHello is what a client of TLS begins with.
func clientHello(t *testing.T) []byte {
	t.Helper()
	near, far := memnet.Pipe("client", "server")
	defer near.Close()
	defer far.Close()
	near.SetReadDeadline(time.Now())
	tls.Client(near, clientTLS()).Handshake()
	hello := make([]byte, 8<<10)
	n, err := far.Read(hello)
	if err != nil {
		t.Fatal(err)
	}
	return hello[:n]
}

// A client may send only so much in a handshake: here a ClientHello that says
// it is 60,000 octets long.
func TestHandshakeOctets(t *testing.T) {
	const limit = 16 << 10
	synctest.Test(t, func(t *testing.T) {
		srv := &chatserver.Server{Accounts: demo, TLSConfig: serverTLS()}
		defer srv.Close()
		near := dial(t, srv, "192.0.2.7:1")
		record := append([]byte{0x16, 3, 1, 4, 0}, bytes.Repeat([]byte{7}, 1024)...)
		sent := 0
		write := func(b []byte) {
			n, err := near.Write(b)
			if sent += n; err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		write(append([]byte{0x16, 3, 1, 4, 0, 1, 0, 60000 >> 8, 60000 & 255}, record[9:]...))
		for sent+len(record) < limit {
			write(record)
		}
		write(record[:limit-1-sent])
		begun := time.Now()
		near.SetReadDeadline(begun.Add(time.Millisecond))
		if n, err := near.Read(make([]byte, 1)); n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("within the limit it is closed: %d octets, %v", n, err)
		}
		near.SetReadDeadline(time.Time{})
		write(record[:1])
		io.ReadAll(near)
		if took := time.Since(begun); took > time.Second {
			t.Errorf("it is closed after %v", took)
		}
	})
}
