package chatserver

import (
	"net"
)

// bindingLabel and bindingSize make the channel binding "tls-exporter" of
// RFC 9266.
const (
	bindingLabel = "EXPORTER-Channel-Binding"
	bindingSize  = 32
)

// binding returns what ties a login to the connection's TLS (RFC 9266): the
// same at both ends of one connection and nowhere else. It is nil without
// TLS.
func (c *conn) binding() []byte {
	if c.tls == nil {
		return nil
	}
	b, err := c.tls.ExportKeyingMaterial(bindingLabel, nil, bindingSize)
	if err != nil {
		c.log().Error("TLS gave no channel binding", "err", err)
		return nil
	}
	return b
}

// local reports whether the client is on this machine: it came by the
// loopback address, or by something that has no IP address (a pipe, a Unix
// socket).
func (c *conn) local() bool {
	ip := addrOf(c.nc.RemoteAddr())
	return !ip.IsValid() || ip.IsLoopback()
}

// addrText is a, for a log. A connection of the application's own may have no
// address at all.
func addrText(a net.Addr) string {
	if a == nil {
		return "none"
	}
	return a.String()
}
