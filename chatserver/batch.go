package chatserver

import (
	"bytes"
	"slices"
	"time"

	"github.com/parleyproto/parley/chatproto"
	"github.com/parleyproto/parley/chatserver/store"
)

// A batch is what one commit writes.
type batch struct {
	messages []*message
	windows  []originWindow // once it is cut
	acks     []store.Ack
	rest     store.Batch // blocks, sessions, origins that are registered or forgotten
	done     []func()    // called when it is stored
}

// An originWindow is an origin's window as of its last message in a batch
// that was cut.
type originWindow struct {
	o   *origin
	win chatproto.Window
	row bool // some message of it is to be stored
}

func (b *batch) empty() bool { return len(b.messages) == 0 && !b.others() }

// others reports whether there is something else than messages.
func (b *batch) others() bool { return len(b.acks) > 0 || !b.rest.Empty() || len(b.done) > 0 }

// cut takes out of the open batch what is to be stored now, and makes the
// rows of it: bodies that are not acknowledged yet, and the windows of origins
// that have a body or a broadcast in it. What is not due yet stays: the cut is
// as if it had been made before that came. nil means that there was nothing.
func (k *committer) cut() (*batch, *store.Batch) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.urgent = false
	if k.open.empty() {
		return nil, nil
	}
	cut := k.open
	k.open = batch{}
	n := k.dueMessages(cut.messages)
	k.open.messages = append(k.open.messages, cut.messages[n:]...)
	clear(cut.messages[n:])
	cut.messages = cut.messages[:n]
	k.compact = max(compactFrom, 2*len(k.open.messages))
	rows := new(store.Batch)
	*rows = cut.rest
	rows.Acks = cut.acks
	kept := cut.messages[:0]
	for _, m := range cut.messages {
		audience := m.mailboxes()
		stored := len(audience) > 0
		if stored {
			m.written = true
			rows.Messages = append(rows.Messages, m.row(audience))
		}
		if o := m.origin; !o.drawn {
			if o.inCut == 0 {
				cut.windows = append(cut.windows, originWindow{o: o})
				o.inCut = len(cut.windows)
			}
			w := &cut.windows[o.inCut-1]
			w.win.High = m.id.N // until the end of the loop
			w.row = w.row || stored || m.isCast()
		}
		if !stored && !m.isCast() {
			k.spare(m)
			continue // acknowledged before
		}
		kept = append(kept, m)
	}
	clear(cut.messages[len(kept):])
	cut.messages = kept
	now := time.Now().UnixMilli()
	for i := range cut.windows {
		w := &cut.windows[i]
		w.o.inCut = 0
		if w.row {
			w.win = w.o.inBatch.At(w.win.High)
			rows.Origins = append(rows.Origins, store.Origin{User: w.o.user.name, Origin: w.o.id, Window: w.win, Used: now})
		}
	}
	cut.windows = slices.DeleteFunc(cut.windows, func(w originWindow) bool { return !w.row })
	return &cut, rows
}

// dueMessages is how many of the first messages are to be stored now: all up
// to the last that is urgent or old enough. The caller holds mu.
func (k *committer) dueMessages(ms []*message) int {
	if k.stopped {
		return len(ms)
	}
	young := time.Since(k.start) - k.gather()
	n := len(ms)
	for n > 0 && !ms[n-1].urgent && ms[n-1].came > young {
		n--
	}
	return n
}

// spare drops a body that was acknowledged before it was written.
func (k *committer) spare(m *message) {
	m.origin.batched.Add(-1)
	if !m.written { // else it is put back, and may have been written before
		k.srv.counters.spared.Add(1)
	}
}

// mailboxes returns whom the record of m names: nobody when all have
// acknowledged it.
func (m *message) mailboxes() []string {
	if m.left.Load() == 0 {
		return nil
	}
	if m.to != nil {
		return []string{m.to.name}
	}
	names := make([]string, 0, len(m.cast))
	for _, u := range m.cast {
		if !slices.Contains(m.early, u) {
			names = append(names, u.name)
		}
	}
	return names
}

// row makes the record of m.
func (m *message) row(audience []string) *store.Message {
	var f chatproto.Frame
	text := []byte(nil)
	line := m.frame[:len(m.frame)-len("\r\n")]
	if bytes.IndexByte(line, '\\') < 0 { // as most are: the text stands there as it is
		_, text, _ = bytes.Cut(line, []byte(" :"))
		text = bytes.TrimPrefix(text[len(m.from.name)+len(":"):], []byte(" "))
	} else if err := chatproto.Parse(&f, bytes.Clone(line)); err == nil {
		text, _ = chatproto.MessageText(m.from.name, f.Description)
	}
	return &store.Message{Seq: m.seq, From: m.from.name, ID: m.id, Time: m.at, Cast: m.isCast(), Text: text, Size: len(text), Audience: audience}
}

// putBack puts a batch whose outcome is unknown before the open one: all of
// it is written again, and what was acknowledged meanwhile deleted.
func (k *committer) putBack(cut *batch) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, m := range cut.messages {
		m.urgent = true // they go with the rows that follow here, or those would be older than what may be stored
	}
	k.open.messages = append(cut.messages, k.open.messages...)
	k.open.acks = append(cut.acks, k.open.acks...)
	k.open.done = append(cut.done, k.open.done...)
	was, rest := &cut.rest, &k.open.rest
	rest.Origins = append(was.Origins, rest.Origins...)
	rest.Blocks = append(was.Blocks, rest.Blocks...)
	rest.Sessions = append(was.Sessions, rest.Sessions...)
	rest.Accounts = append(was.Accounts, rest.Accounts...)
	rest.Attempts = append(was.Attempts, rest.Attempts...)
	if rest.Secret == nil {
		rest.Secret = was.Secret
	}
	k.urgent = true
}
