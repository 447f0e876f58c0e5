package chatproto_test

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/parleyproto/parley/chatproto"
)

// A line that is too long costs its sender that line only: the reader goes on
// behind it, however the stream is cut.
func TestReaderSkipsOverlongLine(t *testing.T) {
	for _, size := range []int{8193, 8194, 16384, 16385, 65535} {
		stream := "LIVE\r\n" + strings.Repeat("x", size-2) + "\r\nQUIT n=1\r\n"
		for name, r := range map[string]io.Reader{
			"whole":   strings.NewReader(stream),
			"halves":  iotest.HalfReader(strings.NewReader(stream)),
			"one":     iotest.OneByteReader(strings.NewReader(stream)),
			"dataerr": iotest.DataErrReader(strings.NewReader(stream)),
		} {
			in := chatproto.NewReader(r)
			var f chatproto.Frame
			if err := in.Next(&f); err != nil || f.Code != chatproto.LIVE {
				t.Errorf("%d %s: before: %v %v", size, name, f.Code, err)
			}
			if err := in.Next(&f); !errors.Is(err, chatproto.ErrFrameTooLong) {
				t.Errorf("%d %s: %v, want %v", size, name, err, chatproto.ErrFrameTooLong)
			}
			if err := in.Next(&f); err != nil || f.Code != chatproto.QUIT {
				t.Errorf("%d %s: behind: %v %v", size, name, f.Code, err)
			}
			if err := in.Next(&f); err != io.EOF {
				t.Errorf("%d %s: end: %v, want EOF", size, name, err)
			}
		}
	}
}
