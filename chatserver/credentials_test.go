package chatserver_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/parleyproto/parley/chatserver"
)

// A credentials file is taken as it stands, and every bad line is named.
func TestParseCredentials(t *testing.T) {
	v1 := verifierOf(t, "one", "sixteen octets 1", 15000).String()
	v2 := verifierOf(t, "two", "sixteen octets 2", 15000).String()
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
		{"verifiers", "A " + v1 + "\nB " + v2 + "\n", chatserver.Credentials{"A": v1, "B": v2, "": "15000"}, nil},
		{"both kinds", "A " + v1 + "\nB passB", chatserver.Credentials{"A": v1, "B": "passB", "": "15000+"}, nil},
		{"what is not quite a verifier's beginning is a password", "A SCRAM-SHA-256\nB scram-sha-256$x", chatserver.Credentials{"A": "SCRAM-SHA-256", "B": "scram-sha-256$x"}, nil},
		{"faults of verifiers", "A " + v1 + "\nB " + v2 + " \nC SCRAM-SHA-256$x\nD " + verifierOf(t, "x", "sixteen octets 3", 4096).String() +
			"\nE " + verifierOf(t, "x", "fifteen octets.", 15000).String() + "\n", nil, []string{
			"line 2: salt and keys of a verifier are base64",
			"line 3: a verifier has the form SCRAM-SHA-256$",
			"line 4: the verifier has 4096 iterations; that in line 1 has 15000",
			"line 5: the salt of the verifier has 15 octets",
		}},
		{"names that PRECIS or the mix of scripts refuses", "\uff21 p\n\u0430bc p\n", nil, []string{"line 1: bad user name", "line 2: bad user name: a user name keeps to one script"}},
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

// Both kinds of lines are checked; and nobody is the entry of the name "".
func TestCredentials(t *testing.T) {
	ctx := t.Context()
	v := verifierOf(t, "two", "sixteen octets 2", 6000)
	for _, c := range []chatserver.Credentials{
		{"A": "one"}, credentials(t, "A one"),
		credentials(t, "A one", line("B", v)), credentials(t, line("B", v)),
	} {
		for _, tt := range []struct {
			user, password string
			want           bool
		}{
			{"A", "one", c["A"] != ""}, {"A", "One", false}, {"A", "", false}, {"A", "two", false},
			{"B", "two", c["B"] != ""}, {"B", "one", false}, {"B", c["B"], false},
			{"C", "one", false}, {"C", "", false}, {"", "", false}, {"", "6000+", false}, {"", "6000", false},
		} {
			if ok, err := c.CheckPassword(ctx, tt.user, tt.password); ok != tt.want || err != nil {
				t.Errorf("%v: %q with %q is %v, %v", c, tt.user, tt.password, ok, err)
			}
			exists := tt.user != "" && c[tt.user] != ""
			if ok, err := c.Exists(ctx, tt.user); ok != exists || err != nil {
				t.Errorf("%v: %q exists: %v, %v", c, tt.user, ok, err)
			}
			got, err := c.Verifier(ctx, tt.user)
			if err != nil || exists != (got != nil && len(got.StoredKey) > 0) {
				t.Errorf("%v: %q has the verifier %v, %v", c, tt.user, got, err)
			} else if tt.want && !got.Check(tt.password) {
				t.Errorf("%v: the verifier of %q does not take %q", c, tt.user, tt.password)
			}
			if iterations := got.Iterations; iterations != 6000 && c["B"] != "" || iterations != chatserver.DefaultIterations && c["B"] == "" {
				t.Errorf("%v: %q has %d iterations", c, tt.user, iterations)
			}
		}
	}
}

// A verifier that is added to a file has the iterations of those in it, so
// that the file is taken again.
func TestCredentialsNewVerifier(t *testing.T) {
	for file, want := range map[string]int{"": chatserver.DefaultIterations, "A a\n": chatserver.DefaultIterations, "A a\nB " + postgres + "\n": 4096} {
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

// However a password was typed, it is the same.
func TestPreparedPassword(t *testing.T) {
	c := chatserver.Credentials{"A": "p\u00e4ss wort"}
	for _, typed := range []string{"p\u00e4ss wort", "pa\u0308ss wort", "p\u00e4ss\u00a0wort"} {
		if ok, _ := c.CheckPassword(t.Context(), "A", typed); !ok {
			t.Errorf("%+q is not taken", typed)
		}
	}
}
