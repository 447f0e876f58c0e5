package chatserver

import (
	"context"
	"sync"
)

// turns lets those who come with the same key in one at a time, in the order
// in which they came. The zero value is ready.
type turns[K comparable] struct {
	mu   sync.Mutex
	last map[K]chan struct{} // closed when the last who came with a key is through
}

// enter waits until those who came with this key before are through. It
// returns what ends this turn, or nil if ctx ended before.
func (t *turns[K]) enter(ctx context.Context, key K) (leave func()) {
	mine := make(chan struct{})
	t.mu.Lock()
	before := t.last[key]
	if t.last == nil {
		t.last = make(map[K]chan struct{})
	}
	t.last[key] = mine
	t.mu.Unlock()
	end := func() { // not leave, which is nil once this returns nil
		t.mu.Lock()
		defer t.mu.Unlock()
		close(mine)
		if t.last[key] == mine {
			delete(t.last, key)
		}
	}
	if before == nil {
		return end
	}
	select {
	case <-before:
		return end
	case <-ctx.Done():
		go func() { // keep the turns of those who wait behind
			<-before
			end()
		}()
		return nil
	}
}
