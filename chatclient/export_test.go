package chatclient

import (
	"context"
	"net"
)

// PeerNetwork replaces the network of private lines.
func (cfg *Config) PeerNetwork(listen func(network, address string) (net.Listener, error), dial func(ctx context.Context, network, address string) (net.Conn, error)) {
	cfg.peerNet = peerNetwork{listen, dial}
}
