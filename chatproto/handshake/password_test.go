package handshake_test

import (
	"testing"

	"github.com/parleyproto/parley/chatproto/handshake"
)

// However a password was typed, both ends make the same of it; and none is
// refused, for an account that has it could never log in.
func TestPassword(t *testing.T) {
	for _, tt := range []struct{ why, in, want string }{
		{"ordinary", "116bway", "116bway"},
		{"case is kept", "PassWord", "PassWord"},
		{"composed", "pa\u0308ss", "p\u00e4ss"},
		{"composed already", "p\u00e4ss", "p\u00e4ss"},
		{"a no-break space is a space", "pass\u00a0phrase", "pass phrase"},
		{"spaces stay, at the end too", " pass  phrase ", " pass  phrase "},
		{"full-width letters are not folded", "\uff41", "\uff41"},
		{"refused: empty", "", ""},
		{"refused: a control character", "a\tb", "a\tb"},
		{"refused: no UTF-8", "a\xffb", "a\xffb"},
	} {
		got := handshake.Password(tt.in)
		if got != tt.want {
			t.Errorf("%s: %q becomes %q, want %q", tt.why, tt.in, got, tt.want)
		}
		if again := handshake.Password(got); again != got {
			t.Errorf("%s: %q becomes %q the second time", tt.why, got, again)
		}
	}
}
