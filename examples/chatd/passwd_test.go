package main

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/parleyproto/parley/chatserver"
)

// callPasswd calls chatd passwd with something on its standard input, and
// returns what it said and its error.
func callPasswd(t *testing.T, stdin string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	var out, errs bytes.Buffer
	err = run(t.Context(), append([]string{"passwd"}, args...), strings.NewReader(stdin), &out, &errs)
	return out.String(), errs.String(), err
}

// readFile is what a file has in it.
func readFile(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// masked is a credentials file with VERIFIER for whatever verifies the user's
// password in the list, which must be right.
func masked(t *testing.T, text string, passwords map[string]string) string {
	t.Helper()
	var b strings.Builder
	for line := range strings.Lines(text) {
		l := credentialsLine(line)
		name, value := l.account()
		if v, err := chatserver.ParseVerifier(value); name != "" && err == nil {
			if !v.Check(passwords[name]) {
				t.Errorf("the password of %s is not %q", name, passwords[name])
			}
			line = strings.Replace(line, value, "VERIFIER", 1)
		}
		b.WriteString(line)
	}
	return b.String()
}

// sentence is what stands behind every change.
const sentence = "a chatd that runs takes it over on SIGHUP\n"

// What chatd passwd does to a file, one call after the other: everything else
// in it stays.
func TestPasswd(t *testing.T) {
	t.Chdir(t.TempDir())
	know := map[string]string{}
	for _, step := range []struct {
		why, stdin string
		args       []string
		set        string // becomes this user's password
		out, errs  string
		file       string
	}{
		{"the first account makes the file", "wonder land \n", []string{"add", "alice"}, "alice=wonder land ", "added alice to credentials.txt\n" + sentence, "", "alice VERIFIER\n"},
		{"a password without an end of line", "p\u00e4ss", []string{"add", "bob"}, "bob=p\u00e4ss", "added bob to credentials.txt\n" + sentence, "", "alice VERIFIER\nbob VERIFIER\n"},
		{"a line from Windows", "new\r\nnever read\n", []string{"set", "alice"}, "alice=new", "alice has a new password in credentials.txt\n" + sentence, "", "alice VERIFIER\nbob VERIFIER\n"},
		{"the list", "", []string{"list"}, "", "alice\tverifier\nbob\tverifier\n", "", "alice VERIFIER\nbob VERIFIER\n"},
		{"nothing to import", "", []string{"import"}, "", "credentials.txt has no password in plaintext\n", "", "alice VERIFIER\nbob VERIFIER\n"},
		{"removing", "", []string{"del", "alice"}, "", "removed alice from credentials.txt\n" + sentence, "", "bob VERIFIER\n"},
		{"removing the last", "", []string{"del", "-credentials", "credentials.txt", "bob"}, "", "removed bob from credentials.txt\n" + sentence,
			"chatd: warning: that was the last account: chatd does not start with credentials.txt as it is now, and does not take it over on SIGHUP\n", ""},
		{"another file", "pw\n", []string{"add", "eve", "-credentials", "other.txt"}, "", "added eve to other.txt\n" + sentence, "", ""},
	} {
		out, errs, err := callPasswd(t, step.stdin, step.args...)
		if err != nil || out != step.out || errs != step.errs {
			t.Errorf("%s: %v\n%s%s\nwant\n%s%s", step.why, err, out, errs, step.out, step.errs)
		}
		if name, password, ok := strings.Cut(step.set, "="); ok {
			know[name] = password
		}
		if got := masked(t, readFile(t, "credentials.txt"), know); got != step.file {
			t.Errorf("%s: the file is\n%s\nwant\n%s", step.why, got, step.file)
		}
	}
	if info, err := os.Stat("other.txt"); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("a new file: %v, %v", info.Mode(), err)
	}
	if entries, _ := os.ReadDir("."); len(entries) != 2 {
		t.Errorf("it leaves %v behind", entries)
	}
}

// Comments, order, ends of lines and the file's mode stay as they are.
func TestPasswdKeeps(t *testing.T) {
	const of4096 = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
	for _, tt := range []struct{ why, before, stdin, args, after string }{
		{"comments", "# staff\n\nA pa\n#B pb\n# guests\nC pc", "x\n", "add D", "# staff\n\nA pa\n#B pb\n# guests\nC pc\nD VERIFIER\n"},
		{"Windows", "\ufeffA pa\r\nB pb\r\n\r\nC pc", "x\n", "add D", "\ufeffA pa\r\nB pb\r\n\r\nC pc\r\nD VERIFIER\r\n"},
		{"a mark on the line that changes", "\ufeffA pa\r\nB pb\r\n", "x\n", "set A", "\ufeffA VERIFIER\r\nB pb\r\n"},
		{"a mark on the line that goes", "\ufeffA pa\r\nB pb\r\n", "", "del A", "\ufeffB pb\r\n"},
		{"the last line without an end", "A pa\nB pb", "x\n", "set B", "A pa\nB VERIFIER"},
		{"import", "# staff\nA pass phrase \r\n\n#B pb\nC " + of4096 + "\nD pd", "", "import", "# staff\nA VERIFIER\r\n\n#B pb\nC VERIFIER\nD VERIFIER"},
		{"the iterations of the others", "C " + of4096 + "\n", "x\n", "add D", "C VERIFIER\nD VERIFIER\n"},
	} {
		t.Run(tt.why, func(t *testing.T) {
			t.Chdir(t.TempDir())
			if err := os.WriteFile("real.txt", []byte(tt.before), 0o640); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink("real.txt", "credentials.txt"); err != nil {
				t.Fatal(err)
			}
			if _, _, err := callPasswd(t, tt.stdin, strings.Fields(tt.args)...); err != nil {
				t.Fatal(err)
			}
			text := readFile(t, "real.txt")
			passwords := map[string]string{"A": "x", "B": "x", "C": "pencil", "D": "x"}
			if tt.args == "import" {
				passwords["A"], passwords["D"] = "pass phrase ", "pd"
			}
			if got := masked(t, text, passwords); got != tt.after {
				t.Errorf("it becomes\n%q\nwant\n%q", got, tt.after)
			}
			if _, err := chatserver.ParseCredentials(strings.NewReader(text)); err != nil {
				t.Errorf("chatd would not take it: %v", err)
			}
			if info, err := os.Stat("real.txt"); err != nil || info.Mode().Perm() != 0o640 {
				t.Errorf("its mode becomes %v, %v", info.Mode(), err)
			}
			if to, err := os.Readlink("credentials.txt"); to != "real.txt" {
				t.Errorf("the link was replaced: %q, %v", to, err)
			}
		})
	}
}

// What cannot be done is told in one sentence and changes nothing.
func TestPasswdRefuses(t *testing.T) {
	const good = "# staff\nalice wonderland\n"
	for _, tt := range []struct{ why, file, stdin, args, want string }{
		{"taken", good, "x\n", "add alice", `there is an account "alice" in credentials.txt already; to change its password: chatd passwd set alice`},
		{"taken but for capitals", good, "x\n", "add Alice", "the credentials file would then have 1 bad line(s):\n  line 3: user \"Alice\" stands in line 2 already (capitals make no difference)"},
		{"two scripts", good, "x\n", "add \u0430lice", "\"\u0430lice\" cannot be a user's name: a user name keeps to one script (or to Latin with Chinese, Japanese or Korean)"},
		{"decomposed", good, "x\n", "add zoe\u0308", "\"zoe\u0308\" cannot be a user's name: a user name has letters, digits and ASCII signs, composed and of ordinary width (RFC 8265)"},
		{"too long", good, "x\n", "add " + strings.Repeat("n", 65), `"` + strings.Repeat("n", 65) + `" cannot be a user's name: a user name has 1 to 64 octets, without spaces, control and format characters`},
		{"an override", good, "x\n", "add al\u202eice", `"al\u202eice" cannot be a user's name: a user name has 1 to 64 octets, without spaces, control and format characters`},
		{"a comment", good, "x\n", "add #alice", `"#alice" would be a comment in a credentials file, not a user`},
		{"no such account", good, "x\n", "set bob", `there is no account "bob" in credentials.txt; chatd passwd list shows those there are`},
		{"no such account to remove", good, "", "del bob", `there is no account "bob" in credentials.txt; chatd passwd list shows those there are`},
		{"no file to set in", "", "x\n", "set bob", "there is no credentials file credentials.txt; chatd passwd add makes one"},
		{"no file to remove from", "", "", "del bob", "there is no credentials file credentials.txt; chatd passwd add makes one"},
		{"no file to list", "", "", "list", "there is no credentials file credentials.txt; chatd passwd add makes one"},
		{"no file to import", "", "", "import", "there is no credentials file credentials.txt; chatd passwd add makes one"},
		{"no password", good, "", "add bob", "no password was given; nothing was changed"},
		{"an empty password", good, "\nx\n", "set alice", "no password was given; nothing was changed"},
		{"a password too long", good, strings.Repeat("x", 513) + "\n", "set alice", "a password has at most 512 octets; nothing was changed"},
		{"a password that is no UTF-8", good, "a\xff\n", "set alice", "chatserver: a password must be UTF-8"},
		{"a faulty file", "alice\nbob b\nbob c\n", "x\n", "set bob", "the credentials file credentials.txt has 2 bad line(s):\n  line 1: no password after the user name \"alice\"\n  line 3: user \"bob\" stands in line 2 already (capitals make no difference)\nmend it first; nothing was changed"},
		{"a faulty file to import", "alice\n", "", "import", "the credentials file credentials.txt has 1 bad line(s)"},
	} {
		t.Run(tt.why, func(t *testing.T) {
			t.Chdir(t.TempDir())
			if tt.file != "" {
				if err := os.WriteFile("credentials.txt", []byte(tt.file), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			out, errs, err := callPasswd(t, tt.stdin, strings.SplitN(tt.args, " ", 2)...)
			if err == nil || !strings.HasPrefix(err.Error(), tt.want) || out+errs != "" {
				t.Errorf("%v\n%s%s\nwant\n%s", err, out, errs, tt.want)
			}
			entries, _ := os.ReadDir(".")
			if tt.file == "" && len(entries) > 0 || tt.file != "" && (len(entries) != 1 || readFile(t, "credentials.txt") != tt.file) {
				t.Errorf("something changed: %v", entries)
			}
		})
	}
}

// A wrong call shows how it is done; a password in it is told off.
func TestPasswdUsage(t *testing.T) {
	t.Chdir(t.TempDir())
	var help bytes.Buffer
	passwdHelp(&help)
	golden(t, "passwd-help", help.String())
	for _, args := range []string{"", "add", "del", "list alice", "import alice", "remove alice", "del alice bob carol"} {
		if out, errs, err := callPasswd(t, "x\n", strings.Fields(args)...); !errors.Is(err, errUsage) || out != "" || errs != help.String() {
			t.Errorf("chatd passwd %s: %v\n%s%s", args, err, out, errs)
		}
	}
	if _, errs, err := callPasswd(t, "", "-h"); !errors.Is(err, flag.ErrHelp) || errs != help.String() {
		t.Errorf("chatd passwd -h: %v\n%s", err, errs)
	}
	for _, verb := range []string{"add", "set"} {
		_, errs, err := callPasswd(t, "", verb, "alice", "wonderland")
		if want := "chatd: a password is never given as an argument, where others on this machine can see it: it is asked for, or read from standard input\n"; !errors.Is(err, errUsage) || errs != want {
			t.Errorf("a password as an argument: %v\n%s", err, errs)
		}
	}
	if entries, _ := os.ReadDir("."); len(entries) > 0 {
		t.Errorf("something was made: %v", entries)
	}
}
