package handshake_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/parleyproto/parley/chatproto/handshake"
)

// What a client may be told to connect to (SPEC section 8.5).
func TestMayDial(t *testing.T) {
	for _, test := range []struct {
		place         string
		remote, local bool // the server is elsewhere, or on this machine
	}{
		{"198.51.100.7:28403", true, true},
		{"192.168.1.7:28403", true, true}, // two people at home
		{"[2001:db8::7]:28403", true, true},
		{"[fd12:3456::7]:28403", true, true},
		{"198.51.100.7:1024", true, true},
		{"198.51.100.7:1023", false, false},
		{"198.51.100.7:0", false, false},
		{"127.0.0.1:28403", false, true},
		{"127.8.9.1:28403", false, true},
		{"[::1]:28403", false, true},
		{"[::ffff:127.0.0.1]:28403", false, true},
		{"[64:ff9b::127.0.0.1]:28403", false, true},
		{"[2002:7f00:1::]:28403", false, true},
		{"0.0.0.0:28403", false, false},
		{"0.1.2.3:28403", false, false},
		{"[::]:28403", false, false},
		{"[::ffff:0.0.0.0]:28403", false, false},
		{"169.254.169.254:28403", false, false},
		{"169.254.1.1:28403", false, false},
		{"[::ffff:169.254.169.254]:28403", false, false},
		{"[::a9fe:a9fe]:28403", false, false},
		{"[64:ff9b::a9fe:a9fe]:28403", false, false},
		{"[2002:a9fe:a9fe::1]:28403", false, false},
		{"[fd00:ec2::254]:28403", false, false},
		{"100.100.100.200:28403", false, false},
		{"168.63.129.16:28403", false, false},
		{"192.0.0.192:28403", false, false},
		{"224.0.0.1:28403", false, false},
		{"239.255.255.250:28403", false, false},
		{"255.255.255.255:28403", false, false},
		{"[ff02::1]:28403", false, false},
		{"[fe80::1]:28403", false, false},
		{"[fe80::1%eth0]:28403", false, false},
	} {
		place := netip.MustParseAddrPort(test.place)
		if remote, local := handshake.MayDial(place, false), handshake.MayDial(place, true); remote != test.remote || local != test.local {
			t.Errorf("%s: %v from elsewhere, %v from here", test.place, remote, local)
		}
	}
	if handshake.MayDial(netip.AddrPort{}, true) {
		t.Error("an address that is none")
	}
}

func TestParsePlaces(t *testing.T) {
	eight := strings.Repeat("192.0.2.1:2000,", 7) + "[2001:db8::1]:65535"
	places, err := handshake.ParsePlaces(eight)
	if err != nil || len(places) != 8 || handshake.FormatPlaces(places) != eight || handshake.FormatPlaces(append(places, places...)) != eight {
		t.Errorf("%v %v", places, err)
	}
	if got := handshake.FormatPlaces([]netip.AddrPort{netip.MustParseAddrPort("[::ffff:192.0.2.1]:2000")}); got != "192.0.2.1:2000" {
		t.Errorf("got %s", got)
	}
	for _, bad := range []string{"", ",", eight + ",192.0.2.1:2000", "192.0.2.1", "192.0.2.1:1023", "192.0.2.1:65536", "localhost:2000", "192.0.2.1:2000,",
		"[::ffff:192.0.2.1]:2000", "[fe80::1%eth0]:2000", "2001:db8::1:2000", "[2001:DB8::1]:2000", "192.0.2.1:02000"} {
		if _, err := handshake.ParsePlaces(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}
