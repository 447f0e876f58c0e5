package chatserver

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"time"

	"github.com/hashicorp/go-multierror"
)

func (s *Server) isClosing() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closing
}

// errHung is what ending a server returns when its store does not answer.
var errHung = errors.New("chatserver: the store did not answer; what was not acknowledged may be lost")

// Shutdown ends the server gracefully: it accepts no more connections, reads
// no more requests, commits what was accepted, answers it, tells every client
// goodbye, and waits until that is written or ctx ends; then it cuts what is
// left. Sessions stay in the store: a server that starts again on it finds
// them. It returns nil, or everything that went wrong. Calling it again, or
// after Close, waits for the end as well.
func (s *Server) Shutdown(ctx context.Context) error {
	if err := s.start(); err != nil {
		return nil // never served
	}
	errs := s.endAll(ctx)
	select {
	case <-s.stopped:
		if s.stopErr != nil {
			errs = multierror.Append(errs, s.stopErr)
		}
	case <-ctx.Done():
		s.cut()
		errs = multierror.Append(errs, ctx.Err())
		<-s.stopped
		if s.stopErr != nil {
			errs = multierror.Append(errs, s.stopErr)
		}
	}
	return errs.ErrorOrNil()
}

// Close ends the server at once: connections are cut, also those that a
// Shutdown waits for; what was accepted is committed, if the store answers
// within 5 seconds. Calling it again, or after Shutdown, does no harm.
func (s *Server) Close() error {
	if err := s.start(); err != nil {
		return nil // never served
	}
	errs := s.endAll(s.ctx)
	s.cut()
	<-s.stopped
	if s.stopErr != nil {
		errs = multierror.Append(errs, s.stopErr)
	}
	return errs.ErrorOrNil()
}

// endAll begins the end, unless it has begun: nothing is accepted any more,
// and every connection ends once what was read from it is answered.
func (s *Server) endAll(ctx context.Context) (errs *multierror.Error) {
	s.mu.Lock()
	first := !s.closing
	s.closing = true
	for l := range s.listeners {
		if err := l.Close(); first && err != nil && !errors.Is(err, net.ErrClosed) {
			errs = multierror.Append(errs, err)
		}
	}
	conns := slices.Collect(maps.Keys(s.conns))
	s.mu.Unlock()
	if !first {
		return nil
	}
	s.roster.stopTimers()
	s.consents.stop()
	s.dialler.cancel()
	for _, c := range conns {
		c.goodbye("shutdown", "The server is shutting down")
	}
	go func() {
		s.running.Wait()
		s.loops.close()
		if !s.commit.stop(s.ctx.Done()) {
			s.stopErr = errHung
		} else if err := s.commit.failure(); err != nil {
			s.stopErr = fmt.Errorf("chatserver: not everything could be stored: %w", err)
		}
		s.cancel()
		close(s.stopped)
	}()
	return errs
}

// cut ends every connection at once.
func (s *Server) cut() {
	s.cancel()
	s.mu.Lock()
	conns := slices.Collect(maps.Keys(s.conns))
	s.mu.Unlock()
	for _, c := range conns {
		c.die("server closed")
	}
}

// after calls f after d, unless the server ends before; the end waits for f.
func (s *Server) after(d time.Duration, f func()) *time.Timer {
	return time.AfterFunc(d, func() {
		s.mu.Lock()
		if s.closing {
			s.mu.Unlock()
			return
		}
		s.running.Add(1)
		s.mu.Unlock()
		defer s.running.Done()
		f()
	})
}

// begin calls f on a goroutine of its own, unless the server ends; the end
// waits for f.
func (s *Server) begin(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closing {
		s.running.Go(f)
	}
}
