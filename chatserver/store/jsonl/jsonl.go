// Package jsonl writes all that a store holds as lines of JSON, and reads
// them into another: to look at, to move from one kind of store to another,
// or to keep for long.
//
// Each line is an object with one field, whose name says what it is: head (the
// first line), message, origin, block, session, account, attempt, secret, or
// end (the last).
//
// The text is as secret as the store itself: it has the messages, what the
// passwords are verified with, and the server's secret, which a server needs
// to go on as the same one. Version 1 of the format had no accounts, attempts
// and secret, and not the last Seq; it can still be read.
package jsonl

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/parleyproto/parley/chatserver/store"
)

// Version is the version of the format that Export writes.
const Version = 2

// batchSize is how many messages are read, or written, at once.
const batchSize = 1000

// A line is one line: one of the fields is set.
type line struct {
	Head    *head    `json:"head,omitempty"`
	Message *message `json:"message,omitempty"`
	Origin  *origin  `json:"origin,omitempty"`
	Block   *block   `json:"block,omitempty"`
	Session *session `json:"session,omitempty"`
	Account *account `json:"account,omitempty"`
	Attempt *attempt `json:"attempt,omitempty"`
	Secret  []byte   `json:"secret,omitempty"`
	End     *end     `json:"end,omitempty"`
}

type head struct {
	Format  string `json:"format"`
	Version int    `json:"version"`
	Last    uint64 `json:"last,omitempty"` // the highest Seq ever written
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

type account struct {
	User     string `json:"user"`
	Verifier string `json:"verifier"`
}

type attempt struct {
	User   string `json:"user"`
	Source string `json:"source,omitempty"`
	Fails  int    `json:"fails,omitempty"`
	Last   int64  `json:"last,omitempty"`
	Until  int64  `json:"until,omitempty"`
	Proven int64  `json:"proven,omitempty"`
}

const format = "parley-store"

// maxSecret is how long a secret may be.
const maxSecret = 64

// Export writes all that st holds to w, secrets included, and returns how many
// messages could not be read and are missing.
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
	put(line{Head: &head{format, Version, state.LastSeq}})
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
	putState(put, state)
	put(line{End: &end{lines}})
	if err == nil {
		err = out.Flush()
	}
	return missing, err
}

// putState writes what there is beside messages.
func putState(put func(line), state *store.State) {
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
	for _, a := range state.Accounts {
		put(line{Account: &account{a.User, a.Verifier}})
	}
	for _, a := range state.Attempts {
		put(line{Attempt: &attempt{a.User, a.Source, a.Fails, a.Last, a.Until, a.Proven}})
	}
	if len(state.Secret) > 0 {
		put(line{Secret: state.Secret})
	}
}
