package chatclient

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"syscall"

	"github.com/parleyproto/parley/chatproto"
	"github.com/parleyproto/parley/chatproto/handshake"
)

// PeerInterfaces, in Config.PeerAddrs, stands for the addresses of this
// machine's network interfaces that others may be sent to, with the port on
// which the client listens: so two clients in the same network reach each
// other also if the server sees both at the same address.
const PeerInterfaces = "interfaces"

// readPlace reads one of Config.PeerAddrs, which has port unless it says
// otherwise. It returns nothing for PeerInterfaces.
func readPlace(s string, port uint16) (places []netip.AddrPort, err error) {
	if s == PeerInterfaces {
		return nil, nil
	}
	place, err := netip.ParseAddrPort(s)
	if err != nil {
		ip, err := netip.ParseAddr(s)
		if err != nil {
			return nil, fmt.Errorf("chatclient: Config.PeerAddrs: %q is no address, with a port or without", s)
		}
		place = netip.AddrPortFrom(ip, port)
	}
	place = netip.AddrPortFrom(place.Addr().Unmap(), place.Port())
	if !handshake.MayDial(place, true) {
		return nil, fmt.Errorf("chatclient: Config.PeerAddrs: nobody connects to %v", place)
	}
	return []netip.AddrPort{place}, nil
}

// places returns where else this client may be reached, for LSTN cand=.
func (p *peers) places(port uint16, local bool) (places []netip.AddrPort) {
	for _, s := range p.c.cfg.PeerAddrs {
		more, _ := readPlace(s, port)
		if s == PeerInterfaces {
			more = interfacePlaces(port)
		}
		for _, place := range more {
			if handshake.MayDial(place, local) {
				places = append(places, place)
			}
		}
	}
	return places
}

// interfacePlaces are the addresses of this machine that others may be sent
// to.
func interfacePlaces(port uint16) (places []netip.AddrPort) {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	for _, a := range addrs {
		prefix, err := netip.ParsePrefix(a.String())
		if err != nil || prefix.Addr().IsLoopback() {
			continue
		}
		places = append(places, netip.AddrPortFrom(prefix.Addr().Unmap(), port))
	}
	return places
}

// registers reports whether the server is to know our key, and the port with
// it.
func (p *peers) registers() (port uint16, yes bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.port(), p.ln != nil || p.asks
}

// resumes reports whether this is the first login of a program that goes on
// with the session of one before it. The consents of that are forgotten here;
// registering no port ends them at the server, too, and the others are told
// (SPEC section 8.3).
func (p *peers) resumes(fresh bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	first := !p.begun
	p.begun = true
	return first && !fresh
}

// register tells the server our key, and on which port we listen, 0 for none,
// and on which it may call itself.
// It is told anew on every connection: the proof is of that one alone.
// Client.mu is held.
func (c *Client) register(cn *conn, port uint16) {
	p := c.peers
	dial, dials := c.dialsBack(cn)
	p.mu.Lock()
	local := p.local
	p.mu.Unlock()
	k := newCall(chatproto.LSTN, "", "", "")
	sig := cn.identity().Sign(c.name, p.id.key)
	k.fields = func(l *chatproto.Line) {
		if port != 0 {
			l.Uint("port", uint64(port))
		}
		l.Field("key", p.id.Key())
		l.Field("sig", sig)
		if places := p.places(port, local); port != 0 && len(places) > 0 {
			l.Field("cand", handshake.FormatPlaces(places))
		}
		if dials {
			l.Uint("dial", uint64(dial))
		}
	}
	k.heed = func(a answer) {
		if dials {
			c.mayPart(cn, port, a)
		}
	}
	k.then = func(err error) {
		if err != nil {
			c.cfg.Logger.Warn("the server did not take the key or the port for private chats", slog.Any("err", err))
		}
	}
	c.box.issue(k, cn)
}

// identity is what the proof of a key ties to the connection (SPEC section
// 4.6).
func (cn *conn) identity() handshake.Binding {
	if cn.server.tls != nil {
		// If TLS exports nothing, what is proved is no other connection.
		exported, _ := cn.server.tls.ExportKeyingMaterial("EXPORTER-Channel-Binding", nil, 32)
		return handshake.TLSBinding(exported)
	}
	return handshake.CleartextBinding(cn.boot, cn.c.box.origin)
}

// port returns where we listen, 0 if nowhere. mu is held.
func (p *peers) port() uint16 {
	if p.ln == nil {
		return 0
	}
	_, s, _ := net.SplitHostPort(p.ln.Addr().String())
	port, _ := strconv.ParseUint(s, 10, 16)
	return uint16(port)
}

// mayDial checks a place before it is dialled, and, once more, what is
// connected to (SPEC section 8.5).
func (p *peers) mayDial(place netip.AddrPort) error {
	p.mu.Lock()
	local := p.local
	p.mu.Unlock()
	if !handshake.MayDial(place, local) {
		return fmt.Errorf("chatclient: will not connect to %v, which is not an address of another user", place)
	}
	return nil
}

// dial connects to a place.
func (p *peers) dial(ctx context.Context, place netip.AddrPort) (net.Conn, error) {
	if err := p.mayDial(place); err != nil {
		return nil, err
	}
	if dial := p.c.cfg.peerNet.dial; dial != nil {
		return dial(ctx, "tcp", place.String())
	}
	d := net.Dialer{Control: func(_, address string, _ syscall.RawConn) error {
		to, err := netip.ParseAddrPort(address)
		if err != nil {
			return err
		}
		return p.mayDial(to)
	}}
	return d.DialContext(ctx, "tcp", place.String())
}
