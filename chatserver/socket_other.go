//go:build !unix

package chatserver

import "net"

// A socket is not known on this system: connections are read and written
// through their own methods.
type socket struct{}

func socketOf(net.Conn) socket { return socket{} }

func (socket) ok() bool { return false }

func (socket) read(*conn) (int, error) { panic("no socket") }

func (socket) write([]byte) (int, error) { panic("no socket") }
