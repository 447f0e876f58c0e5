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

// ErrNotEmpty is what Import returns for a store that holds something.
var ErrNotEmpty = errors.New("the store is not empty")

// Import reads what Export wrote into st, which must be empty but for a secret:
// that is replaced. It first reads all of r, and writes nothing if a line is
// bad; the error then names it.
func Import(ctx context.Context, st store.Store, r io.Reader) error {
	state, err := st.Load(ctx, func(*store.Message) error { return ErrNotEmpty })
	if err != nil {
		return err
	}
	if len(state.Origins)+len(state.Blocks)+len(state.Sessions)+len(state.Accounts)+len(state.Attempts) > 0 {
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
		if l.Head.Format != format || l.Head.Version < 1 || l.Head.Version > Version {
			return false, fmt.Errorf("the format is %q version %d, and not %q up to version %d", l.Head.Format, l.Head.Version, format, Version)
		}
		if l.Head.Last > 0 { // a message for nobody leaves nothing but its Seq
			b.Messages = append(b.Messages, &store.Message{Seq: l.Head.Last})
		}
	case l.Message != nil:
		m := l.Message
		id, ok := chatproto.ParseID([]byte(m.ID))
		if !ok || m.Seq == 0 || len(m.Audience) == 0 || chatproto.CheckName(m.From) != nil || chatproto.CheckText(m.Text) != nil {
			return false, errors.New("a message needs seq, from, id, a text that can be sent, and an audience")
		}
		b.Messages = append(b.Messages, &store.Message{Seq: m.Seq, From: m.From, ID: id, Time: m.Time, Cast: m.Cast,
			Text: []byte(m.Text), Size: len(m.Text), Audience: m.Audience})
	case l.End != nil:
		if l.End.Lines != n-1 {
			return false, fmt.Errorf("the end counts %d lines, and there are %d", l.End.Lines, n-1)
		}
		return true, nil
	default:
		return false, l.addRecord(b)
	}
	return false, nil
}

// addRecord is addTo for what there is beside messages.
func (l *line) addRecord(b *store.Batch) error {
	switch {
	case l.Origin != nil:
		id, ok := chatproto.ParseOrigin([]byte(l.Origin.Origin))
		o := store.Origin{User: l.Origin.User, Origin: id, Used: l.Origin.Used}
		if err := o.Window.UnmarshalBinary(l.Origin.Window); !ok || err != nil {
			return errors.New("an origin needs user, origin, and a window of 40 octets in base64")
		}
		b.Origins = append(b.Origins, o)
	case l.Block != nil:
		b.Blocks = append(b.Blocks, store.Block{Owner: l.Block.Owner, User: l.Block.User})
	case l.Session != nil:
		id, ok := chatproto.ParseOrigin([]byte(l.Session.Origin))
		if !ok {
			return errors.New("a session needs user and origin")
		}
		b.Sessions = append(b.Sessions, store.Session{User: l.Session.User, Origin: id})
	case l.Account != nil:
		a := l.Account
		if chatproto.CheckName(a.User) != nil || a.Verifier == "" {
			return errors.New("an account needs user and verifier")
		}
		b.Accounts = append(b.Accounts, store.Account{User: a.User, Verifier: a.Verifier})
	case l.Attempt != nil:
		a := l.Attempt
		if a.User == "" || a.Fails < 0 {
			return errors.New("an attempt needs user, and fails, if there, from 0 on")
		}
		b.Attempts = append(b.Attempts, store.Attempt{User: a.User, Source: a.Source, Fails: a.Fails, Last: a.Last, Until: a.Until, Proven: a.Proven})
	case l.Secret != nil:
		if n := len(l.Secret); n == 0 || n > maxSecret || b.Secret != nil {
			return fmt.Errorf("there is one secret at most, of 1 to %d octets", maxSecret)
		}
		b.Secret = l.Secret
	default:
		return errors.New("not a line of this format")
	}
	return nil
}
