//go:build !linux

package chatserver

import "time"

// There are no event loops on this system: each connection has a goroutine,
// and leaves its socket to the runtime.
type eventLoops struct{}

type eventLoop struct{}

func (*eventLoops) open(*Server) bool { return false }

func (*eventLoops) add(*conn, time.Duration) bool { return false }

func (*eventLoops) close() {}

func (*eventLoop) leave(*conn) {}

func (*eventLoop) remove(*conn) {}

func (*conn) own() bool { return false }

func (*conn) readOwn([]byte, time.Time) (int, error) { panic("no socket of its own") }

func (*conn) writeOwn([]byte, bool, time.Time) (int, error) { panic("no socket of its own") }

func (*conn) shutDown() {}

func (*conn) shutWrite() {}

func (*conn) closeOwn() {}
