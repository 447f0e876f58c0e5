package chatserver_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/parleyproto/parley/chatserver"
)

// A server that calls clients back which went away, for as long as an hour,
// and only at addresses from which its operator wants that.
func ExampleServer_dialBack() {
	office := netip.MustParsePrefix("192.0.2.0/24")
	srv := &chatserver.Server{
		TLSConfig: serverTLS(), // without TLS nobody is called
		DialBack:  true,
		Lease:     time.Hour,
		Dial: func(ctx context.Context, place netip.AddrPort) (net.Conn, error) {
			if !office.Contains(place.Addr()) {
				return nil, errors.New("not at the office")
			}
			var d net.Dialer
			return d.DialContext(ctx, "tcp", place.String())
		},
	}
	defer srv.Close()
	_, err := srv.Dial(context.Background(), netip.MustParseAddrPort("198.51.100.7:28404"))
	fmt.Println(err)
	// Output: not at the office
}
