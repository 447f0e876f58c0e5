package chatproto_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/parleyproto/parley/chatproto"
)

// A line of a stranger has at most Limits.LoginFrame octets, its end
// included, however the stream is cut; what follows it, and what follows the
// login, is read as always.
func TestReaderShort(t *testing.T) {
	limit := chatproto.V1.Limits.LoginFrame
	for _, end := range []string{"\r\n", "\n"} {
		for _, size := range []int{limit - 1, limit, limit + 1, chatproto.V1.Limits.Frame, 3 * chatproto.V1.Limits.Frame} {
			line := "AUTH pass=" + strings.Repeat("x", size-len("AUTH pass=\r\n")) + end
			after := "SEND to=B :" + strings.Repeat("y", chatproto.V1.Limits.Frame-len("SEND to=B :\r\n")) + "\r\n"
			stream := "LIVE\r\n" + line + after
			for name, r := range map[string]io.Reader{
				"whole":  strings.NewReader(stream),
				"halves": iotest.HalfReader(strings.NewReader(stream)),
				"one":    iotest.OneByteReader(strings.NewReader(stream)),
			} {
				t.Run(fmt.Sprintf("%q %d %s", end, size, name), func(t *testing.T) {
					in := chatproto.NewReader(r)
					in.Short(true)
					var f chatproto.Frame
					if err := in.Next(&f); err != nil || f.Code != chatproto.LIVE {
						t.Fatalf("before: %v %v", f.Code, err)
					}
					err := in.Next(&f)
					var e *chatproto.Error
					if size <= limit && err != nil {
						t.Errorf("refused: %v", err)
					}
					if size > limit && (!errors.Is(err, chatproto.ErrLoginFrameTooLong) || !errors.As(err, &e) || e.At != limit) {
						t.Errorf("got %v, want %v at octet %d", err, chatproto.ErrLoginFrameTooLong, limit)
					}
					in.Short(false)
					if err := in.Next(&f); err != nil || f.Code != chatproto.SEND {
						t.Errorf("after the login: %v %v", f.Code, err)
					}
				})
			}
		}
	}
}
