// Package jsonl writes all that a store holds as lines of JSON, and reads
// them into another: to look at, to move from one kind of store to another,
// or to keep for long.
//
// Each line is an object with one field, whose name says what it is: head (the
// first line), message, origin, block, session, or end (the last).
package jsonl

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/parleyproto/parley/chatproto"
	"github.com/parleyproto/parley/chatserver/store"
)

// Version is the version of the format.
const Version = 1

// batchSize is how many messages are read, or written, at once.
const batchSize = 1000

// A line is one line: one of the fields is set.
type line struct {
	Head    *head    `json:"head,omitempty"`
	Message *message `json:"message,omitempty"`
	Origin  *origin  `json:"origin,omitempty"`
	Block   *block   `json:"block,omitempty"`
	Session *session `json:"session,omitempty"`
	End     *end     `json:"end,omitempty"`
}

type head struct {
	Format  string `json:"format"`
	Version int    `json:"version"`
}

type end struct {
	Lines int `json:"lines"` // before this one
}

type message struct {
	Seq      uint64   `json:"seq"`
	From     string   `json:"from"`
	ID       string   `json:"id"`
	Time     int64    `json:"t"`
	Cast     bool     `json:"broadcast,omitempty"`
	Text     string   `json:"text"`
	Audience []string `json:"audience"`
}

type origin struct {
	User   string `json:"user"`
	Origin string `json:"origin"`
	Window []byte `json:"window"`
	Used   int64  `json:"used"`
}

type block struct {
	Owner string `json:"owner"`
	User  string `json:"user"`
}

type session struct {
	User   string `json:"user"`
	Origin string `json:"origin"`
}

const format = "parley-store"

// Export writes all that st holds to w, and returns how many messages could
// not be read and are missing.
func Export(ctx context.Context, st store.Store, w io.Writer) (missing int, err error) {
	out := bufio.NewWriter(w)
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	lines := 0
	put := func(l line) {
		if err == nil {
			err = enc.Encode(l)
			lines++
		}
	}
	var seqs []uint64
	state, lerr := st.Load(ctx, func(m *store.Message) error {
		seqs = append(seqs, m.Seq)
		return nil
	})
	if lerr != nil {
		return 0, lerr
	}
	put(line{Head: &head{format, Version}})
	for len(seqs) > 0 && err == nil {
		n := min(batchSize, len(seqs))
		read, rerr := st.Messages(ctx, seqs[:n])
		if rerr != nil {
			return missing, rerr
		}
		for _, m := range read {
			if m == nil {
				missing++
				continue
			}
			put(line{Message: &message{m.Seq, m.From, m.ID.String(), m.Time, m.Cast, string(m.Text), m.Audience}})
		}
		seqs = seqs[n:]
	}
	for _, o := range state.Origins {
		window, _ := o.Window.AppendBinary(nil)
		put(line{Origin: &origin{o.User, fmt.Sprintf("%x", o.Origin), window, o.Used}})
	}
	for _, b := range state.Blocks {
		put(line{Block: &block{b.Owner, b.User}})
	}
	for _, s := range state.Sessions {
		put(line{Session: &session{s.User, fmt.Sprintf("%x", s.Origin)}})
	}
	put(line{End: &end{lines}})
	if err == nil {
		err = out.Flush()
	}
	return missing, err
}

// ErrNotEmpty is what Import returns for a store that holds something.
var ErrNotEmpty = errors.New("the store is not empty")

// Import reads what Export wrote into st, which must be empty. It first reads
// all of r, and writes nothing if a line is bad; the error then names it.
func Import(ctx context.Context, st store.Store, r io.Reader) error {
	state, err := st.Load(ctx, func(*store.Message) error { return ErrNotEmpty })
	if err != nil {
		return err
	}
	if len(state.Origins)+len(state.Blocks)+len(state.Sessions) > 0 {
		return ErrNotEmpty
	}
	var b store.Batch
	dec := json.NewDecoder(bufio.NewReader(r))
	dec.DisallowUnknownFields()
	for n := 1; ; n++ {
		var l line
		if err := dec.Decode(&l); err != nil {
			if err == io.EOF {
				err = errors.New("the end is missing: the file is cut off")
			}
			return fmt.Errorf("line %d: %w", n, err)
		}
		if last, err := l.addTo(&b, n); err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		} else if last {
			break
		}
	}
	for len(b.Messages) > batchSize {
		if err := st.Commit(ctx, &store.Batch{Messages: b.Messages[:batchSize]}); err != nil {
			return err
		}
		b.Messages = b.Messages[batchSize:]
	}
	return st.Commit(ctx, &b)
}

// addTo checks the n-th line and adds it to b. It reports whether it is the
// last.
func (l *line) addTo(b *store.Batch, n int) (last bool, err error) {
	switch {
	case (n == 1) != (l.Head != nil):
		return false, errors.New("the first line, and only that, is the head")
	case l.Head != nil:
		if l.Head.Format != format || l.Head.Version != Version {
			return false, fmt.Errorf("the format is %q version %d, and not %q version %d", l.Head.Format, l.Head.Version, format, Version)
		}
	case l.Message != nil:
		m := l.Message
		id, ok := chatproto.ParseID([]byte(m.ID))
		if !ok || m.Seq == 0 || len(m.Audience) == 0 || chatproto.CheckName(m.From) != nil || chatproto.CheckText(m.Text) != nil {
			return false, errors.New("a message needs seq, from, id, a text that can be sent, and an audience")
		}
		b.Messages = append(b.Messages, &store.Message{Seq: m.Seq, From: m.From, ID: id, Time: m.Time, Cast: m.Cast,
			Text: []byte(m.Text), Size: len(m.Text), Audience: m.Audience})
	case l.Origin != nil:
		id, ok := chatproto.ParseOrigin([]byte(l.Origin.Origin))
		o := store.Origin{User: l.Origin.User, Origin: id, Used: l.Origin.Used}
		if err := o.Window.UnmarshalBinary(l.Origin.Window); !ok || err != nil {
			return false, errors.New("an origin needs user, origin, and a window of 40 octets in base64")
		}
		b.Origins = append(b.Origins, o)
	case l.Block != nil:
		b.Blocks = append(b.Blocks, store.Block{Owner: l.Block.Owner, User: l.Block.User})
	case l.Session != nil:
		id, ok := chatproto.ParseOrigin([]byte(l.Session.Origin))
		if !ok {
			return false, errors.New("a session needs user and origin")
		}
		b.Sessions = append(b.Sessions, store.Session{User: l.Session.User, Origin: id})
	case l.End != nil:
		if l.End.Lines != n-1 {
			return false, fmt.Errorf("the end counts %d lines, and there are %d", l.End.Lines, n-1)
		}
		return true, nil
	default:
		return false, errors.New("not a line of this format")
	}
	return false, nil
}
