//go:build !linux

package chatserver

import "time"

// There are no event loops on this system: each connection has a goroutine.
type eventLoops struct{}

type eventLoop struct{}

func (*eventLoops) add(*conn, time.Duration) bool { return false }

func (*eventLoops) close() {}

func (*eventLoop) leave(*conn) {}

func (*eventLoop) remove(*conn) {}
