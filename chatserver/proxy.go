package chatserver

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// The PROXY protocol (versions 1 and 2, as HAProxy's document describes them)
// tells what address a proxy's connection comes from.
const (
	proxyPrefix1 = "PROXY "
	proxyPrefix2 = "\r\n\r\n\x00\r\nQUIT\n"
	proxyLine    = 107  // octets of a header of version 1, its end included
	proxyRest    = 1024 // octets behind the fixed part of one of version 2: two addresses, and TLVs that nobody reads
)

var (
	errNoProxyHeader = errors.New("no PROXY header, which Server.ProxyFrom requires from this address")
	errProxyHeader   = errors.New("a PROXY header that cannot be understood")
)

// fromProxy reads the PROXY header if the connection comes from a proxy, and
// takes its address for the connection's. It reports whether to go on.
func (c *conn) fromProxy() bool {
	if !within(c.srv.ProxyFrom, addrOf(c.nc.RemoteAddr())) {
		return true
	}
	c.mu.Lock()
	ended := c.bye != nil || c.dead != ""
	if !ended {
		c.nc.SetReadDeadline(c.handshakeDeadline())
	}
	c.mu.Unlock()
	if ended {
		return false
	}
	from, err := readProxyHeader(c.nc)
	if err != nil {
		if err != io.EOF { // not one that only looks whether the server is there
			c.log().Warn("a connection from a proxy is refused", "err", err)
		}
		c.why = "PROXY header: " + err.Error()
		closeWrite(c.nc)
		return false
	}
	if from.IsValid() {
		c.mu.Lock()
		c.nc = &proxied{c.nc, net.TCPAddrFromAddrPort(from)}
		c.mu.Unlock()
	}
	return true
}

// within reports whether one of the prefixes has ip.
func within(prefixes []netip.Prefix, ip netip.Addr) bool {
	for _, p := range prefixes {
		if p.Contains(ip) {
			return true
		}
	}
	return false
}

// A proxied connection comes from elsewhere than from the proxy.
type proxied struct {
	net.Conn
	remote net.Addr
}

// RemoteAddr implements [net.Conn].
func (p *proxied) RemoteAddr() net.Addr { return p.remote }

// CloseWrite shuts the sending side, where the connection can.
func (p *proxied) CloseWrite() error {
	closeWrite(p.Conn)
	return nil
}

// readProxyHeader reads a header and not an octet more. An address that is
// not valid means that the connection is the proxy's own, or that the proxy
// does not know.
func readProxyHeader(r io.Reader) (from netip.AddrPort, err error) {
	head := make([]byte, len(proxyPrefix2), proxyLine) // shorter than any header
	if _, err := io.ReadFull(r, head); err != nil {
		return from, err
	}
	switch {
	case string(head) == proxyPrefix2:
		return readProxy2(r)
	case bytes.HasPrefix(head, []byte(proxyPrefix1)):
		return readProxy1(r, head)
	}
	return from, errNoProxyHeader
}

// readProxy1 reads the rest of a line such as
//
//	PROXY TCP4 192.0.2.1 198.51.100.1 56324 443
func readProxy1(r io.Reader, line []byte) (from netip.AddrPort, err error) {
	for !bytes.HasSuffix(line, []byte("\r\n")) {
		n := len(line)
		if n == proxyLine {
			return from, fmt.Errorf("%w: a line of more than %d octets", errProxyHeader, proxyLine)
		}
		line = line[:n+1]
		if _, err := io.ReadFull(r, line[n:]); err != nil {
			return from, err
		}
	}
	parts := strings.Split(string(line[:len(line)-2]), " ")
	if parts[1] == "UNKNOWN" {
		return from, nil
	}
	if len(parts) != 6 || parts[1] != "TCP4" && parts[1] != "TCP6" {
		return from, errProxyHeader
	}
	var ends [2]netip.AddrPort
	for i := range ends {
		ip, err := netip.ParseAddr(parts[2+i])
		port, err2 := strconv.ParseUint(parts[4+i], 10, 16)
		if err != nil || err2 != nil || ip.Is4() != (parts[1] == "TCP4") || ip.Zone() != "" {
			return from, errProxyHeader
		}
		ends[i] = netip.AddrPortFrom(ip, uint16(port))
	}
	return ends[0], nil
}

// readProxy2 reads what follows the prefix of the binary form.
func readProxy2(r io.Reader) (from netip.AddrPort, err error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return from, err
	}
	version, command, family := head[0]>>4, head[0]&15, head[1]
	length := int(binary.BigEndian.Uint16(head[2:]))
	if version != 2 || command > 1 || length > proxyRest {
		return from, errProxyHeader
	}
	rest := make([]byte, length)
	if _, err := io.ReadFull(r, rest); err != nil {
		return from, err
	}
	const local, tcp4, tcp6 = 0, 0x11, 0x21
	size := map[byte]int{tcp4: 4, tcp6: 16}[family]
	switch {
	case command == local || family == 0 || family>>4 == 3: // the proxy's own, unknown, or a Unix socket's
		return from, nil
	case size == 0 || length < 2*size+4:
		return from, errProxyHeader
	}
	ip, _ := netip.AddrFromSlice(rest[:size])
	return netip.AddrPortFrom(ip, binary.BigEndian.Uint16(rest[2*size:])), nil
}
