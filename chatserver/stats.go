package chatserver

import "sync/atomic"

// Stats are counters of a server since its start. They only grow, but for
// Connections and Online.
type Stats struct {
	Connections int    // now
	Online      int    // users with a session, now
	Accepted    uint64 // messages accepted, a broadcast counting once
	Delivered   uint64 // deliveries acknowledged, one for each recipient
	Stored      uint64 // bodies written to the store
	Spared      uint64 // bodies acknowledged before their batch was cut, and never written
	Commits     uint64 // batches written, each with one sync
	Failed      uint64 // batches that failed, and were written again
	ReadBack    uint64 // messages read back from the store
}

// counters are the parts of Stats that are counted.
type counters struct {
	accepted, delivered, stored, spared, commits, failed, readBack atomic.Uint64
}

// Stats returns the counters as they stand. Any goroutine may call it, also
// before the server serves.
func (s *Server) Stats() Stats {
	s.mu.Lock()
	conns := len(s.conns)
	s.mu.Unlock()
	n := &s.counters
	return Stats{
		Connections: conns,
		Online:      s.roster.count(),
		Accepted:    n.accepted.Load(),
		Delivered:   n.delivered.Load(),
		Stored:      n.stored.Load(),
		Spared:      n.spared.Load(),
		Commits:     n.commits.Load(),
		Failed:      n.failed.Load(),
		ReadBack:    n.readBack.Load(),
	}
}
