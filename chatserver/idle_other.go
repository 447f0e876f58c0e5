//go:build !linux

package chatserver

// idlers are not watched together on this system: each idle connection keeps
// a goroutine.
type idlers struct{}

func (*idlers) add(*conn) bool { return false }

func (*idlers) remove(*conn) {}

func (*idlers) close() {}
