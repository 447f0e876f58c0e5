package fuzz

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/parleyproto/parley/chatproto"
)

// seeds are lines for all targets that read a line; more are in testdata.
var seeds = []string{
	"LIVE", "221", "SEND n=4 to=B :hello!", "AUTH user= pass=", "SEND to=B :", `SEND a=\s\n\t\\ :\n\t\\ x`,
	"SEND  to=B", "SEND to=B to=C", `SEND :\s`, "SEND :\x7f", "SEND :\u202e", "SEND :\xed\xa0\x80", "send", "",
}

func diff(a, b *chatproto.Frame) string { return cmp.Diff(a, b, cmpopts.EquateEmpty()) }

func FuzzReference(f *testing.F) {
	for _, l := range seeds {
		f.Add([]byte(l))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		want, at, cause := Reference(string(line))
		var got chatproto.Frame
		err := chatproto.Parse(&got, bytes.Clone(line))
		if cause == nil {
			if err != nil {
				t.Fatalf("%q: %v, but it is a frame", line, err)
			}
			if d := diff(want, &got); d != "" {
				t.Fatalf("%q decodes wrongly (-reference +Parse):\n%s", line, d)
			}
			return
		}
		var bad *chatproto.Error
		if !errors.As(err, &bad) || bad.Code != chatproto.ReplyBadFrame || bad.Err != cause || bad.At != at {
			t.Fatalf("%q: %v, want %v at octet %d", line, err, cause, at)
		}
	})
}

func FuzzRoundTrip(f *testing.F) {
	for _, l := range seeds {
		f.Add([]byte(l))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		var a, b chatproto.Frame
		if chatproto.Parse(&a, bytes.Clone(line)) != nil {
			return
		}
		enc, err := chatproto.AppendFrame([]byte("before"), &a)
		if err != nil {
			t.Fatalf("%q was decoded and cannot be encoded: %v", line, err)
		}
		if !bytes.HasPrefix(enc, []byte("before")) || !bytes.HasSuffix(enc, []byte("\r\n")) {
			t.Fatalf("%q encodes to %q", line, enc)
		}
		if err := chatproto.Parse(&b, enc[6:len(enc)-2]); err != nil {
			t.Fatalf("%q encodes to what is no frame: %v", line, err)
		}
		if d := diff(&a, &b); d != "" {
			t.Fatalf("%q comes back changed:\n%s", line, d)
		}
	})
}

func FuzzCanonical(f *testing.F) {
	f.Add(uint32(chatproto.SEND), "to", "B", "n", "4", "hello!")
	f.Add(uint32(chatproto.ReplyOK), "a", " ", "a", "\\", "\n")
	f.Add(uint32(0), "A", "\x00", "", "\xff", "\u2028")
	f.Add(uint32(chatproto.LIVE), "abcdefghijklmnop", "", "abcdefghijklmnopq", "", "")
	f.Fuzz(func(t *testing.T, code uint32, key1, value1, key2, value2, text string) {
		frame := &chatproto.Frame{Code: chatproto.Code(code), Description: []byte(text)}
		for _, x := range [][2]string{{key1, value1}, {key2, value2}} {
			if x != [2]string{} {
				frame.Fields = append(frame.Fields, chatproto.Field{Key: []byte(x[0]), Value: []byte(x[1])})
			}
		}
		enc, err := chatproto.AppendFrame(nil, frame)
		naive := Encode(frame)
		back, _, cause := Reference(naive)
		// What the naive encoding of a frame does not bring back, or brings
		// back as another frame, cannot be sent; everything else can.
		can := cause == nil && diff(back, frame) == ""
		if can != (err == nil) {
			t.Fatalf("%q: encoding gives %v; the line is a frame: %v", naive, err, can)
		}
		if err != nil {
			if len(enc) != 0 {
				t.Fatalf("%q: refused, and %q left behind", naive, enc)
			}
			return
		}
		if string(enc) != naive+"\r\n" {
			t.Fatalf("encoded %q, want %q", enc, naive)
		}
		var again chatproto.Frame
		if err := chatproto.Parse(&again, bytes.Clone(enc[:len(enc)-2])); err != nil {
			t.Fatal(err)
		}
		if enc2, err := chatproto.AppendFrame(nil, &again); err != nil || !bytes.Equal(enc, enc2) {
			t.Fatalf("the canonical %q encodes to %q, %v", enc, enc2, err)
		}
	})
}

// pieces is a stream that brings at most as many octets a read as cuts says,
// over and over, with the end of input beside the last ones or behind them.
type pieces struct {
	rest, cuts []byte
	i          int
	withEnd    bool
}

func (r *pieces) Read(p []byte) (int, error) {
	if len(r.rest) == 0 {
		return 0, io.EOF
	}
	n := len(p)
	if len(r.cuts) > 0 {
		n = min(n, int(r.cuts[r.i%len(r.cuts)]))
		r.i++
	}
	n = copy(p[:n], r.rest)
	r.rest = r.rest[n:]
	if r.withEnd && len(r.rest) == 0 {
		return n, io.EOF
	}
	return n, nil
}

// outcome is what a stream gives, in words.
func outcome(r io.Reader) (all []string) {
	in := chatproto.NewReader(r)
	var f chatproto.Frame
	for {
		err := in.Next(&f)
		var bad *chatproto.Error
		switch {
		case err == nil:
			all = append(all, fmt.Sprintf("%v %q %q", f.Code, f.Fields, f.Description))
		case errors.As(err, &bad):
			all = append(all, err.Error())
		default:
			if again := in.Next(&f); again != err {
				all = append(all, fmt.Sprintf("then %v", again))
			}
			return append(all, err.Error())
		}
	}
}

func FuzzCuts(f *testing.F) {
	f.Add([]byte("LIVE\r\nSEND to=B :hi\nbad\r\n\r\nQUIT"), []byte{1, 2, 3}, uint32(0), uint32(0))
	f.Add([]byte("LIVE\r\n\r\nLIVE\r\n"), []byte{1}, uint32(6), uint32(8191))
	f.Add([]byte("\nLIVE\n"), []byte{255}, uint32(0), uint32(65536))
	f.Add([]byte{}, []byte{}, uint32(0), uint32(65536))
	f.Fuzz(func(t *testing.T, stream, cuts []byte, at, fill uint32) {
		// A run of x in the middle reaches sizes that a fuzzer finds slowly.
		at %= uint32(len(stream)) + 1
		fill %= 1 << 17
		stream = bytes.Join([][]byte{stream[:at], bytes.Repeat([]byte("x"), int(fill)), stream[at:]}, nil)
		want := outcome(bytes.NewReader(stream))
		// A reader may bring nothing, though not for ever.
		if len(cuts) > 64 {
			cuts = cuts[:64]
		}
		if len(bytes.Trim(cuts, "\x00")) == 0 {
			cuts = []byte{1}
		}
		for _, withEnd := range []bool{false, true} {
			got := outcome(&pieces{rest: stream, cuts: cuts, withEnd: withEnd})
			if d := cmp.Diff(want, got); d != "" {
				t.Fatalf("cut by %d (-whole +cut):\n%s", cuts, d)
			}
		}
	})
}
