package chatproto_test

import (
	"bytes"
	"testing"

	"github.com/parleyproto/parley/chatproto"
)

// The ways of a message through the package cost no memory once their buffers
// have their size: a server under load leaves nothing to collect.
func TestNoAllocations(t *testing.T) {
	var f chatproto.Frame
	body, scratch := line[:len(line)-2], make([]byte, 0, 256)
	escaped := []byte(`SEND n=4 to=a\sb :caf` + "\u00e9" + `\tand\nmore`)
	r := chatproto.NewReader(&many{})
	w := chatproto.NewWriter(discard{})
	var sent chatproto.Frame
	if err := chatproto.Parse(&sent, bytes.Clone(body)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		do   func() error
	}{
		{"Parse", func() error { return chatproto.Parse(&f, append(scratch, body...)) }},
		{"Parse escapes", func() error { return chatproto.Parse(&f, append(scratch, escaped...)) }},
		{"Reader.Next", func() error { return r.Next(&f) }},
		{"Line", func() error {
			l := chatproto.Begin(scratch, chatproto.MESG)
			l.Field("from", "columbia")
			l.ID("id", chatproto.ID{Origin: 0x1f2e, N: 184467})
			l.Uint("t", 1700000000000)
			_, err := l.EndMessage("columbia", sent.Description)
			return err
		}},
		{"Line escapes", func() error {
			l := chatproto.Begin(scratch, chatproto.SEND)
			l.Field("to", "a b")
			_, err := l.End("caf\u00e9\tand\nmore")
			return err
		}},
		{"AppendFrame", func() error { _, err := chatproto.AppendFrame(scratch, &sent); return err }},
		{"Writer", func() error {
			if err := w.Write(&sent); err != nil {
				return err
			}
			return w.Flush()
		}},
		{"CheckText", func() error { return chatproto.CheckText("caf\u00e9\n") }},
	} {
		if n := testing.AllocsPerRun(100, func() {
			if err := c.do(); err != nil {
				t.Fatal(c.name, err)
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations, want none", c.name, n)
		}
	}
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }
