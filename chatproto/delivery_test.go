package chatproto_test

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"

	"github.com/parleyproto/parley/chatproto"
)

// TestDelivery: a Delivery encodes what a Line does, and refuses what it does.
func TestDelivery(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		verb := rapid.SampledFrom([]chatproto.Code{chatproto.MESG, chatproto.BCST}).Draw(t, "verb")
		from := rapid.SampledFrom([]string{"A", "columbia", "Grüße", "a:b", "back\\slash"}).Draw(t, "from")
		origin := rapid.Uint64Min(1).Draw(t, "origin")
		d, err := chatproto.NewDelivery(verb, from, origin)
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			n := rapid.Uint64Min(1).Draw(t, "n")
			at := rapid.SampledFrom([]uint64{0, 1795348800000, 1795348800001}).Draw(t, "t")
			text := []byte(rapid.OneOf(rapid.String(), rapid.StringMatching(`[a-z\\ \n\t]{0,300}`),
				rapid.StringOfN(rapid.Just('x'), 7900, 8300, -1)).Draw(t, "text"))
			l := chatproto.Begin([]byte("before"), verb)
			l.Field("from", from)
			l.ID("id", chatproto.ID{Origin: origin, N: n})
			l.Uint("t", at)
			want, wantErr := l.EndMessage(from, text)
			got, gotErr := d.Append([]byte("before"), n, at, text)
			if !bytes.Equal(got, want) || (gotErr == nil) != (wantErr == nil) {
				t.Fatalf("got %q, %v\nwant %q, %v", got, gotErr, want, wantErr)
			}
		}
	})
	if _, err := chatproto.NewDelivery(chatproto.MESG, "a\x1bb", 1); err == nil {
		t.Error("a name that no frame can have is taken")
	}
}

func BenchmarkDelivery(b *testing.B) {
	d, err := chatproto.NewDelivery(chatproto.MESG, "columbia", 0x1f2e3d4c5b6a7980)
	if err != nil {
		b.Fatal(err)
	}
	text := bytes.Repeat([]byte("x"), 128)
	buf := make([]byte, 0, 256)
	var n uint64
	b.ReportAllocs()
	for b.Loop() {
		n++
		if buf, err = d.Append(buf[:0], n, 1795348800000, text); err != nil {
			b.Fatal(err)
		}
	}
}
