package conformance

import "net"

// SetInside has f stand between the suite and the server on connections that
// the server made, inside of TLS.
func (t *ServerTarget) SetInside(f func(net.Conn) net.Conn) { t.inside = f }
