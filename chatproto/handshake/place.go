package handshake

import (
	"errors"
	"net/netip"
	"strings"
)

// maxPlaces is how many places LSTN cand= may name.
const maxPlaces = 8

// minPort is the lowest port of a private line.
const minPort = 1024

// ErrPlaces says that a text is not a list of places.
var ErrPlaces = errors.New("handshake: places are one to eight of ADDRESS:PORT, with commas between them")

// ParsePlaces reads the value of LSTN cand= (SPEC section 3.4). It says
// nothing about whether the places may be dialled.
func ParsePlaces(s string) ([]netip.AddrPort, error) {
	parts := strings.SplitN(s, ",", maxPlaces+1)
	if len(parts) > maxPlaces {
		return nil, ErrPlaces
	}
	places := make([]netip.AddrPort, len(parts))
	for i, part := range parts {
		p, err := netip.ParseAddrPort(part)
		if err != nil || p.String() != part || p.Addr().Is4In6() || p.Addr().Zone() != "" || p.Port() < minPort {
			return nil, ErrPlaces
		}
		places[i] = p
	}
	return places, nil
}

// FormatPlaces returns the value of LSTN cand=. More than it may name are
// left out.
func FormatPlaces(places []netip.AddrPort) string {
	parts := make([]string, 0, maxPlaces)
	for _, p := range places[:min(len(places), maxPlaces)] {
		parts = append(parts, netip.AddrPortFrom(p.Addr().Unmap().WithZone(""), p.Port()).String())
	}
	return strings.Join(parts, ",")
}

// forbidden are the addresses to which a client never connects because a
// server or a peer said so: they belong to its own machine, link or cloud
// (SPEC section 8.5).
var forbidden = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("169.254.0.0/16"),
	netip.MustParsePrefix("100.100.100.200/32"),
	netip.MustParsePrefix("168.63.129.16/32"),
	netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("224.0.0.0/4"),
	netip.MustParsePrefix("255.255.255.255/32"),
	netip.MustParsePrefix("::/128"),
	netip.MustParsePrefix("fe80::/10"),
	netip.MustParsePrefix("ff00::/8"),
	netip.MustParsePrefix("fd00:ec2::/32"),
}

// embedding are the ways to write an IPv4 address in an IPv6 one, and where
// it stands there.
var embedding = []struct {
	netip.Prefix
	at int
}{
	{netip.MustParsePrefix("::/96"), 12}, // as before RFC 4291; ::1 is none
	{netip.MustParsePrefix("::ffff:0:0/96"), 12},
	{netip.MustParsePrefix("64:ff9b::/96"), 12},
	{netip.MustParsePrefix("2002::/16"), 2},
}

// MayDial reports whether a client may connect to a place that it was told of
// (SPEC section 8.5). local says that its server is on the same machine.
func MayDial(place netip.AddrPort, local bool) bool {
	ip := place.Addr().WithZone("")
	if !ip.IsValid() || place.Port() < minPort {
		return false
	}
	if v6 := ip.As16(); ip.Is6() && !ip.IsLoopback() {
		for _, e := range embedding {
			if prefixContains(e.Prefix, ip) {
				ip = netip.AddrFrom4([4]byte(v6[e.at : e.at+4]))
				break
			}
		}
	}
	for _, p := range forbidden {
		if p.Contains(ip) {
			return false
		}
	}
	return local || !ip.IsLoopback()
}

// prefixContains is Contains also for IPv4-mapped addresses, which that holds
// to be no IPv6 ones.
func prefixContains(p netip.Prefix, ip netip.Addr) bool {
	a, b := p.Addr().As16(), ip.As16()
	for i := range p.Bits() {
		if (a[i/8]^b[i/8])>>(7-i%8)&1 != 0 {
			return false
		}
	}
	return true
}
