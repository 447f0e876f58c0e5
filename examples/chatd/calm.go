package main

import (
	"context"
	"runtime/debug"
	"sync"
	"time"

	"github.com/parleyproto/parley/chatserver"
)

// What makes memory go back to the system: so many connections came or went,
// none for a while, and the last time was long enough ago to cost nothing.
const (
	calmAfter = 1000
	calmFor   = 3 * time.Second
	calmEvery = 30 * time.Second
)

// A calm gives memory back to the system in the calm after a storm. Go itself
// does so over minutes, and keeps what it thinks that it will need: after
// thousands of logins, which want more than the connections that remain,
// several times as much. The zero value is ready.
type calm struct {
	release func() // nil is debug.FreeOSMemory

	mu    sync.Mutex
	count int // connections that came or went since the last time
	timer *time.Timer
	last  time.Time
	ended bool
	busy  sync.WaitGroup
}

// hooks count the connections of a server.
func (c *calm) hooks() chatserver.Hooks {
	return chatserver.Hooks{
		OnConnect:    func(context.Context, chatserver.ConnInfo) { c.stir() },
		OnDisconnect: func(context.Context, chatserver.ConnInfo, string) { c.stir() },
	}
}

// stir says that a connection came or went.
func (c *calm) stir() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.count++; c.count < calmAfter || c.ended {
		return
	}
	wait := max(calmFor, time.Until(c.last.Add(calmEvery)))
	if c.timer == nil {
		c.timer = time.AfterFunc(wait, c.settle)
	} else {
		c.timer.Reset(wait)
	}
}

// settle is called when it is calm.
func (c *calm) settle() {
	c.mu.Lock()
	if c.ended {
		c.mu.Unlock()
		return
	}
	c.busy.Add(1)
	defer c.busy.Done()
	c.count, c.last = 0, time.Now()
	c.mu.Unlock()
	if c.release != nil {
		c.release()
		return
	}
	debug.FreeOSMemory()
}

// stop ends it, and waits.
func (c *calm) stop() {
	c.mu.Lock()
	c.ended = true
	if c.timer != nil {
		c.timer.Stop()
	}
	c.mu.Unlock()
	c.busy.Wait()
}
