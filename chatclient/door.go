package chatclient

import (
	"errors"
	"log/slog"
	"net"
	"slices"
	"time"
)

// A client has up to two ports: one for private lines, one on which the server
// calls. What both have in common stands here.

// A listenFunc is [net.Listen], or stands for it.
type listenFunc = func(network, address string) (net.Listener, error)

// openPort listens on addr; "" is any port: of this machine alone, if the
// server is on it, else of all interfaces. server is the connection to it.
func (c *Client) openPort(listen listenFunc, addr string, server net.Conn) (net.Listener, error) {
	if addr == "" {
		addr = ":0"
		if ip, isIP := ipOf(server.RemoteAddr()); isIP && ip.IsLoopback() {
			addr = net.JoinHostPort(ip.String(), "0")
		}
	}
	if listen == nil {
		listen = c.cfg.peerNet.listen
	}
	if listen == nil {
		listen = net.Listen
	}
	return listen("tcp", addr)
}

// acceptAll gives all connections that come to take, until the listener is
// closed or the client ends.
func (c *Client) acceptAll(ln net.Listener, take func(net.Conn)) {
	wait := time.Duration(0)
	for {
		nc, err := ln.Accept()
		switch {
		case err == nil:
			wait = 0
			take(nc)
		case errors.Is(err, net.ErrClosed) || c.life.Err() != nil:
			return
		default: // out of descriptors, most likely: it may pass
			wait = min(max(2*wait, 5*time.Millisecond), time.Second)
			c.cfg.Logger.Warn("cannot accept a connection", slog.Any("addr", ln.Addr()), slog.Any("err", err))
			if !sleep(c.life, wait) {
				return
			}
		}
	}
}

// maxKnocks is how many strangers are heard in a second.
const maxKnocks = 64

// Strangers are connections to one port of which it is not known yet who they
// are. The owner's mutex guards them.
type strangers struct {
	most   int        // at once
	here   []net.Conn // the oldest first
	second time.Time
	came   int // since second
}

// admit reports whether a stranger is heard, and closes its connection if not.
// With too many the oldest has to go: so who only keeps a place keeps nobody
// out.
func (s *strangers) admit(nc net.Conn) bool {
	if now := time.Now(); now.Sub(s.second) >= time.Second {
		s.second, s.came = now, 0
	}
	if s.came == maxKnocks {
		nc.Close()
		return false
	}
	s.came++
	if len(s.here) == s.most {
		s.here[0].Close()
		s.here = s.here[1:]
	}
	s.here = append(s.here, nc)
	return true
}

// leave takes one out who is a stranger no more, or is gone.
func (s *strangers) leave(nc net.Conn) {
	s.here = slices.DeleteFunc(s.here, func(x net.Conn) bool { return x == nc })
}

// sendAway closes all of their connections.
func (s *strangers) sendAway() {
	for _, nc := range s.here {
		nc.Close()
	}
}
