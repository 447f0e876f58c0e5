package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
)

// adminRun runs a command of chatd and returns what it printed and its error.
func adminRun(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out, errs bytes.Buffer
	err := run(t.Context(), args, nil, &out, &errs)
	return out.String() + errs.String(), err
}

// A server's store is checked, copied and exported while it runs; the copy
// and the import serve in its place.
func TestAdmin(t *testing.T) {
	v := newVictim(t)
	t.Chdir(v.dir)
	v.start()
	a := talkTo(t, v.addr, "A", "origin=a1")
	for n := 1; n <= 3; n++ {
		a.say("SEND n=%d to=B :kept %d", n, n)
		if got := a.line(); !strings.HasPrefix(got, "201") {
			t.Fatal(got)
		}
	}
	for _, step := range []struct {
		args []string
		want string
	}{
		{[]string{"check"}, "3 waiting messages (18 octets) in 1 mailboxes, 1 origins, 0 blocks, 1 sessions, 0 accounts, "},
		{[]string{"backup", "copy.db"}, "copied to copy.db: 3 waiting messages in 1 mailboxes\n"},
		{[]string{"export", "copy.jsonl"}, "exported to copy.jsonl\n"},
	} {
		if out, err := adminRun(t, step.args...); err != nil || !strings.HasPrefix(out, step.want) {
			t.Errorf("chatd %s: %v\n%s", strings.Join(step.args, " "), err, out)
		}
	}
	v.stop()
	for name, restore := range map[string]func() error{
		"backup": func() error { return os.Rename("copy.db", "chatd-data/"+storeFile) },
		"import": func() error {
			out, err := adminRun(t, "import", "copy.jsonl")
			if err == nil && out != "imported copy.jsonl\n" {
				err = errors.New(out)
			}
			return err
		},
	} {
		if err := os.RemoveAll("chatd-data"); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir("chatd-data", 0o700); err != nil {
			t.Fatal(err)
		}
		if err := restore(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		v.start()
		b := talkTo(t, v.addr, "B", "")
		for n := 1; n <= 3; n++ {
			if got := b.line(); !strings.HasSuffix(got, fmt.Sprintf(":A: kept %d", n)) {
				t.Errorf("%s: delivery %d is %q", name, n, got)
			}
		}
		v.stop()
	}
}

// What cannot be done is told in one sentence, and changes nothing.
func TestAdminRefuses(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("there", []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"check"}, "there is no store in ./chatd-data; -data names the folder"},
		{[]string{"backup", "x"}, "there is no store in ./chatd-data; -data names the folder"},
		{[]string{"export", "there"}, "open there: file exists"},
		{[]string{"import", "none"}, "open none: no such file or directory"},
		{[]string{"import", "there"}, "importing there: line 1: "},
	} {
		if out, err := adminRun(t, tt.args...); err == nil || !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("chatd %s: %v, want %s…\n%s", strings.Join(tt.args, " "), err, tt.want, out)
		}
	}
	if out, err := adminRun(t, "backup"); !errors.Is(err, errUsage) || !strings.HasPrefix(out, "usage: chatd backup [-data DIR] FILE\n") {
		t.Errorf("chatd backup: %v\n%s", err, out)
	}
	if b, _ := os.ReadFile("there"); string(b) != "precious" {
		t.Error("a file was overwritten")
	}
}
