package chatserver_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/parleyproto/parley/chatserver"
)

// A credentials file is taken as it stands, and every bad line is named.
func TestParseCredentials(t *testing.T) {
	for _, tt := range []struct {
		why, file string
		want      chatserver.Credentials
		errs      []string
	}{
		{"one account a line", "columbia 116bway\ngoogle hasglasses\n", chatserver.Credentials{"columbia": "116bway", "google": "hasglasses"}, nil},
		{"CRLF, a byte order mark, comments, empty lines, no last newline", "\ufeff# demo\r\n\r\nA a\r\nB b", chatserver.Credentials{"A": "a", "B": "b"}, nil},
		{"a password may hold spaces", "A pass phrase \n", chatserver.Credentials{"A": "pass phrase "}, nil},
		{"names are compared by octet, passwords too", "ü ß\n", chatserver.Credentials{"ü": "ß"}, nil},
		{"an empty file", "", chatserver.Credentials{}, nil},
		{"every fault at once", "A\n x\nB b\nB c\nb d\nC \n" + strings.Repeat("n", 65) + " p\n\u202eD p\n", nil, []string{
			`line 1: no password after the user name "A"`,
			`line 2: bad user name`,
			`line 4: user "B" stands in line 3 already`,
			`line 5: user "b" stands in line 3 already`,
			`line 6: no password after the user name "C"`,
			`line 7: bad user name`,
			`line 8: bad user name`,
		}},
		{"a line without end", "A " + strings.Repeat("x", 5000), nil, []string{"line 1: bufio.Scanner: token too long"}},
	} {
		t.Run(tt.why, func(t *testing.T) {
			got, err := chatserver.ParseCredentials(strings.NewReader(tt.file))
			if tt.errs == nil {
				if diff := cmp.Diff(tt.want, got); diff != "" || err != nil {
					t.Errorf("error %v (-want +got)\n%s", err, diff)
				}
				return
			}
			if err == nil {
				t.Fatal("no error")
			}
			rest := err.Error()
			for _, want := range tt.errs {
				i := strings.Index(rest, want)
				if i < 0 {
					t.Fatalf("the error lacks %q, or has it too early:\n%v", want, err)
				}
				rest = rest[i:]
			}
			if n := strings.Count(err.Error(), "line "); n < len(tt.errs) {
				t.Errorf("%d faults, want %d:\n%v", n, len(tt.errs), err)
			}
		})
	}
}

// A verifier that is added to a file has the iterations of those in it, so
// that the file is taken again.
func TestCredentialsNewVerifier(t *testing.T) {
	const of4096 = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
	for file, want := range map[string]int{"": chatserver.DefaultIterations, "A a\n": chatserver.DefaultIterations, "A a\nB " + of4096 + "\n": 4096} {
		c, err := chatserver.ParseCredentials(strings.NewReader(file))
		if err != nil {
			t.Fatal(err)
		}
		v, err := c.NewVerifier("secret")
		if err != nil {
			t.Fatal(err)
		}
		if v.Iterations != want || !v.Check("secret") || v.Check("Secret") {
			t.Errorf("beside %q: %d iterations, want %d; right password %v, wrong one %v", file, v.Iterations, want, v.Check("secret"), v.Check("Secret"))
		}
		if _, err := chatserver.ParseCredentials(strings.NewReader(file + "new " + v.String() + "\n")); err != nil {
			t.Errorf("beside %q it is not taken: %v", file, err)
		}
	}
	if _, err := (chatserver.Credentials{}).NewVerifier(""); err == nil {
		t.Error("an empty password is taken")
	}
}
