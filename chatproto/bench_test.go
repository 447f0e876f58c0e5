package chatproto_test

import (
	"bufio"
	"bytes"
	"net/textproto"
	"strings"
	"testing"

	"github.com/parleyproto/parley/chatproto"
)

// line is a message frame of 128 octets, its end included.
var line = []byte("SEND n=184467 to=columbia :" + strings.Repeat("the quick brown fox ", 5)[:99] + "\r\n")

func BenchmarkParse(b *testing.B) {
	b.SetBytes(int64(len(line)))
	b.ReportAllocs()
	var f chatproto.Frame
	body := line[:len(line)-2]
	for b.Loop() {
		if err := chatproto.Parse(&f, body); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	var f chatproto.Frame
	if err := chatproto.Parse(&f, bytes.Clone(line[:len(line)-2])); err != nil {
		b.Fatal(err)
	}
	text := f.Description
	buf := make([]byte, 0, 256)
	b.SetBytes(int64(len(line)))
	b.ReportAllocs()
	for b.Loop() {
		l := chatproto.Begin(buf[:0], chatproto.SEND)
		l.Uint("n", 184467)
		l.Field("to", "columbia")
		if _, err := l.EndBytes(text); err != nil {
			b.Fatal(err)
		}
	}
}

// many is a stream that repeats one line for ever.
type many struct{ rest []byte }

func (m *many) Read(p []byte) (n int, err error) {
	for n < len(p) {
		if len(m.rest) == 0 {
			m.rest = line
		}
		k := copy(p[n:], m.rest)
		m.rest = m.rest[k:]
		n += k
	}
	return n, nil
}

func BenchmarkReader(b *testing.B) {
	r := chatproto.NewReader(&many{})
	var f chatproto.Frame
	b.SetBytes(int64(len(line)))
	b.ReportAllocs()
	for b.Loop() {
		if err := r.Next(&f); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkTextproto is the standard library's reader of reply lines, for
// comparison: it checks less and cuts less.
func BenchmarkTextproto(b *testing.B) {
	reply := "250 " + strings.Repeat("the quick brown fox ", 7)[:122] + "\r\n"
	old := line
	line = []byte(reply)
	defer func() { line = old }()
	r := textproto.NewReader(bufio.NewReader(&many{}))
	b.SetBytes(int64(len(reply)))
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := r.ReadCodeLine(250); err != nil {
			b.Fatal(err)
		}
	}
}
