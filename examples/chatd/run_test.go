package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

// asChatd makes the tests' own program a chatd.
const asChatd = "PARLEY_TEST_CHATD"

func TestMain(m *testing.M) {
	if os.Getenv(asChatd) != "" {
		main()
		return
	}
	goleak.VerifyTestMain(m)
}

// What is wrong on the command line or in the files is told in one clear
// sentence, and chatd does not start.
func TestRefuses(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	_, port, _ := net.SplitHostPort(taken.Addr().String())
	for _, tt := range []struct {
		why         string
		credentials string // the file's content; "" is no file
		args        []string
		usage       bool // told with the usage, exit status 2
		want        string
	}{
		{why: "no port", usage: true, want: "chatd: one argument is needed, the port to listen on"},
		{why: "two ports", args: []string{"1", "2"}, usage: true, want: "chatd: one argument is needed, the port to listen on"},
		{why: "no number", args: []string{"http"}, usage: true, want: `chatd: "http" is no port: a port is a number from 0 (any free one) to 65535`},
		{why: "too high", args: []string{"65536"}, usage: true, want: `chatd: "65536" is no port`},
		{why: "unknown flag", args: []string{"-x", "1"}, usage: true, want: "flag provided but not defined: -x"},
		{why: "no time", args: []string{"-timeout", "0s", "1"}, usage: true, want: "chatd: -lockout, -heartbeat and -timeout take a time above 0"},
		{why: "no mailbox", args: []string{"-mailbox-messages", "0", "1"}, usage: true, want: "chatd: -max-strangers, -mailbox-messages and -mailbox-bytes take a number above 0\nusage: chatd [flags] <port>"},
		{why: "no strangers", args: []string{"-max-strangers", "-1", "1"}, usage: true, want: "chatd: -max-strangers, "},
		{why: "no strangers of a source", args: []string{"-max-strangers-per-source", "0", "1"}, usage: true, want: "chatd: -max-strangers-per-source and -connect-rate take a number above 0, or -1 for no limit"},
		{why: "no connections", args: []string{"-connect-rate", "NaN", "1"}, usage: true, want: "chatd: -max-strangers-per-source and -connect-rate take"},
		{why: "no requests", args: []string{"-request-rate", "-1", "1"}, usage: true, want: "chatd: -request-rate takes a number above 0, or 0 for no limit"},
		{why: "half a certificate", args: []string{"-cert", "c.pem", "1"}, usage: true, want: "chatd: -cert and -key go together"},
		{why: "two kinds of certificate", args: []string{"-cert", "c", "-key", "k", "-acme", "chat.example.org", "1"}, usage: true, want: "chatd: -cert and -acme exclude each other"},
		{why: "nowhere to keep certificates", args: []string{"-memory", "-acme", "chat.example.org", "1"}, usage: true, want: "chatd: -acme needs a folder for its certificates"},
		{why: "a certificate for an address", args: []string{"-acme", "192.0.2.1", "1"}, usage: true, want: `chatd: -acme takes names of hosts such as chat.example.org (others than ASCII ones as xn--...), not "192.0.2.1"`},
		{why: "a certificate for a name without a dot", args: []string{"-acme", "chat.example.org,localhost", "1"}, usage: true, want: `chatd: -acme takes names of hosts such as chat.example.org (others than ASCII ones as xn--...), not "localhost"`},
		{why: "an empty name", args: []string{"-acme", "chat.example.org,", "1"}, usage: true, want: `invalid value "chat.example.org," for flag -acme: an empty part`},
		{why: "no authority", args: []string{"-acme-directory", "here", "1"}, usage: true, want: `chatd: -acme-directory takes an address that begins with https://, not "here"`},
		{why: "no proxy", args: []string{"-proxy-from", "10.0.0.0/8,proxy", "1"}, usage: true, want: `chatd: -proxy-from takes addresses and prefixes such as 192.0.2.1 or 10.0.0.0/8, not "proxy"`},
		{why: "no certificate", credentials: "A a\n", args: []string{"-cert", "c.pem", "-key", "k.pem", "0"}, want: "chatserver: loading a certificate: open c.pem: no such file or directory"},
		{why: "file missing", args: []string{"-credentials", "none.txt", "0"}, want: `there is no credentials file none.txt; chatd passwd add -credentials none.txt makes one`},
		{why: "bad lines", credentials: "A a\nB\nA x\n", args: []string{"0"},
			want: "the credentials file credentials.txt has 2 bad line(s):\n  line 2: no password after the user name \"B\"\n  line 3: user \"A\" stands in line 1 already (capitals make no difference)"},
		{why: "no account", credentials: "# nobody\n", args: []string{"0"}, want: "the credentials file credentials.txt has no account; chatd passwd add makes one"},
		{why: "port in use", args: []string{port}, want: "port " + port + " is in use by another program; end it or choose another port"},
		{why: "no file for the profile", args: []string{"-memory", "-cpuprofile", "none/cpu.prof", "0"}, want: "cannot write the profile: open none/cpu.prof: no such file or directory"},
		{why: "demo accounts for everybody", args: []string{"-listen", "0.0.0.0", "0"}, want: "without a credentials file chatd serves demo accounts, whose passwords everybody knows, and so on loopback only"},
	} {
		t.Run(tt.why, func(t *testing.T) {
			t.Chdir(t.TempDir())
			if tt.credentials != "" {
				if err := os.WriteFile("credentials.txt", []byte(tt.credentials), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			var out, errs bytes.Buffer
			err := run(t.Context(), tt.args, nil, &out, &errs)
			got := ""
			if err != nil {
				got = err.Error()
			}
			if tt.usage {
				got = errs.String()
			}
			if err == nil || errors.Is(err, errUsage) != tt.usage || !strings.HasPrefix(got, tt.want) {
				t.Errorf("error %v, text\n%s\nwant\n%s", err, got, tt.want)
			}
		})
	}
}

// Without a credentials file chatd serves the demo accounts and prints them;
// its data folder is for nobody else; and it ends cleanly.
func TestDemo(t *testing.T) {
	t.Chdir(t.TempDir())
	ctx, stop := context.WithCancel(t.Context())
	r, w := io.Pipe()
	ended := make(chan error)
	go func() {
		ended <- run(ctx, []string{"0"}, nil, w, io.Discard)
		w.Close()
	}()
	out := bufio.NewScanner(r)
	out.Scan()
	addr := regexp.MustCompile(`^listening on (127\.0\.0\.1:\d+)$`).FindStringSubmatch(out.Text())
	if addr == nil {
		t.Fatalf("the first line is %q", out.Text())
	}
	if out.Scan(); !regexp.MustCompile(`^certificate fingerprint: sha256:[0-9a-f]{64}$`).MatchString(out.Text()) {
		t.Errorf("the second line is %q", out.Text())
	}
	var rest []string
	for len(rest) < 6 && out.Scan() {
		rest = append(rest, out.Text())
	}
	want := "There is no credentials.txt: serving demo accounts, on loopback only:\n  A passA\n  B passB\n  C passC\n  columbia 116bway\n  google hasglasses"
	if got := strings.Join(rest, "\n"); got != want {
		t.Errorf("it prints\n%s\nwant\n%s", got, want)
	}
	if fi, err := os.Stat("chatd-data"); err != nil || fi.Mode().Perm() != 0o700 {
		t.Errorf("the data folder: %v, %v", fi, err)
	}
	c, err := net.Dial("tcp", addr[1])
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "HELO v=1\nAUTH user=columbia pass=116bway\nQUIT\n")
	said, err := io.ReadAll(c)
	if err != nil || !strings.Contains(string(said), "Welcome to simple chat server!") || !strings.HasSuffix(string(said), "221\r\n") {
		t.Errorf("it said %q, %v", said, err)
	}
	c.Close()
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// A file of one's own takes the place of the demo accounts.
func TestCredentialsFile(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("mine.txt", []byte("dora explorer\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	var out bytes.Buffer
	data := filepath.Join(t.TempDir(), "d")
	if err := run(ctx, []string{"-credentials", "mine.txt", "-data", data, "0"}, nil, &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(out.String(), "demo") {
		t.Errorf("it prints %q", out.String())
	}
}
