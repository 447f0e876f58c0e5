package main

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/parleyproto/parley/chatclient"
	"github.com/parleyproto/parley/chatserver"
)

// The test's own program is a client, too, when it is run as one: it echoes.
func TestMain(m *testing.M) {
	if len(os.Args) == 5 && os.Args[1] == "echo" {
		if err := echo(os.Args[2], os.Args[3], os.Args[4], nil); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if len(os.Args) == 5 && os.Args[1] == "away" {
		if err := echo(os.Args[2], os.Args[3], os.Args[4], &chatclient.DialBack{Quiet: 50 * time.Millisecond}); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// echo is a client that speaks cleartext, or goes away.
func echo(addr, user, password string, away *chatclient.DialBack) error {
	clear := chatclient.CleartextLocal
	if away != nil {
		clear = chatclient.CleartextNever
	}
	up := make(chan struct{})
	var c *chatclient.Client
	c, err := chatclient.Dial(context.Background(), chatclient.Config{Addr: addr, User: user, Password: password, Cleartext: clear, DialBack: away,
		Callbacks: chatclient.Callbacks{OnMessage: func(ctx context.Context, m chatclient.Message) error {
			if !m.Broadcast {
				<-up
				c.Send(ctx, m.From, m.Text)
			}
			return nil
		}}})
	if err != nil {
		return err
	}
	close(up)
	<-c.Done()
	return c.Err()
}

// serve runs a server with the demo accounts.
func serve(t *testing.T) (addr string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	accounts, err := chatserver.ParseCredentials(strings.NewReader("A passA\nB passB\nC passC\n"))
	if err != nil {
		t.Fatal(err)
	}
	srv := &chatserver.Server{Accounts: accounts}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	t.Cleanup(func() {
		srv.Close()
		if err := <-served; !errors.Is(err, chatserver.ErrServerClosed) {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

var passed = regexp.MustCompile(`(?m)^([0-9]+) cases passed\n\z`)

func TestServer(t *testing.T) {
	addr, dir := serve(t), t.TempDir()
	credentials := filepath.Join(dir, "credentials.txt")
	if err := os.WriteFile(credentials, []byte("# comment\n\nX SCRAM-SHA-256$4096:c2FsdA==$x:y\nC passC\r\nB passB\nA passA\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	junit, jsonFile := filepath.Join(dir, "r.xml"), filepath.Join(dir, "r.json")
	var out, errs bytes.Buffer
	args := []string{"server", addr, "-credentials", credentials, "-run", "^(send|decide|block)/", "-junit", junit, "-json", jsonFile}
	if err := run(t.Context(), args, &out, &errs); err != nil {
		t.Fatalf("%v\n%s%s", err, out.String(), errs.String())
	}
	if !passed.MatchString(out.String()) {
		t.Errorf("the report ends so: %s", out.String())
	}
	var j struct {
		Passed  int
		Results []struct{ Name, Section, Outcome string }
	}
	b, err := os.ReadFile(jsonFile)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &j); err != nil || j.Passed < 20 || len(j.Results) < j.Passed || j.Results[0].Section == "" {
		t.Errorf("the JSON says %+v, %v", j, err)
	}
	var x struct {
		Tests    int `xml:"tests,attr"`
		Failures int `xml:"failures,attr"`
		Cases    []struct {
			Name string `xml:"name,attr"`
		} `xml:"testcase"`
	}
	if b, err = os.ReadFile(junit); err != nil {
		t.Fatal(err)
	}
	if err := xml.Unmarshal(b, &x); err != nil || x.Tests != len(j.Results) || len(x.Cases) != x.Tests || x.Failures != 0 {
		t.Errorf("the XML says %+v, %v", x, err)
	}
}

// A server that is none fails, and one that does not answer cannot be checked.
func TestServerThatIsNone(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			nc.Write([]byte("220 mail.example ESMTP\r\n"))
			nc.Close()
		}
	}()
	for _, closed := range []bool{false, true} {
		if closed {
			l.Close()
		}
		var out, errs bytes.Buffer
		err := run(t.Context(), []string{"server", l.Addr().String()}, &out, &errs)
		if err == nil || errors.Is(err, errFailed) || errors.Is(err, errUsage) {
			t.Errorf("closed=%v: %v\n%s", closed, err, out.String())
		}
	}
}

func TestClient(t *testing.T) {
	var out, errs bytes.Buffer
	args := []string{"client", "-run", "^(echo|text)/", "-user", "ann", "-password", "secret", os.Args[0], "echo", "{addr}", "{user}", "{password}"}
	if err := run(t.Context(), args, &out, &errs); err != nil {
		t.Fatalf("%v\n%s%s", err, out.String(), errs.String())
	}
	if !passed.MatchString(out.String()) || !strings.Contains(out.String(), "skipped") {
		t.Errorf("the report is: %s", out.String())
	}
}

// A client that goes away is checked for that alone.
func TestClientThatGoesAway(t *testing.T) {
	var out, errs bytes.Buffer
	args := []string{"client", "-dialback", "-v", "-run", "/(called|own-key|who)$", os.Args[0], "away", "{addr}", "{user}", "{password}"}
	if err := run(t.Context(), args, &out, &errs); err != nil {
		t.Fatalf("%v\n%s%s", err, out.String(), errs.String())
	}
	if said := out.String(); strings.Count(said, "passed   dialback/") != 2 || strings.Contains(said, "auth/who") {
		t.Errorf("the report is: %s", said)
	}
}

// A client that gives another password fails.
func TestClientThatFails(t *testing.T) {
	var out, errs bytes.Buffer
	args := []string{"client", "-run", "^auth/who$", os.Args[0], "echo", "{addr}", "{user}", "wrong"}
	if err := run(t.Context(), args, &out, &errs); !errors.Is(err, errFailed) {
		t.Errorf("%v\n%s", err, out.String())
	}
	if !strings.Contains(out.String(), "another password") || strings.Contains(out.String(), "pass=wrong") || !passed.MatchString(out.String()) {
		t.Errorf("the report is: %s", out.String())
	}
}

func TestUsage(t *testing.T) {
	for _, c := range []struct {
		args []string
		want error
		says string
	}{
		{nil, flag.ErrHelp, "-credentials"},
		{[]string{"-h"}, flag.ErrHelp, "-junit"},
		{[]string{"server"}, errUsage, "one address"},
		{[]string{"server", "a:1", "b:2"}, errUsage, "one address"},
		{[]string{"both"}, errUsage, "neither"},
		{[]string{"server", "-dialback", "a:1"}, errUsage, "about a client"},
		{[]string{"server", "-nosuch"}, errUsage, "nosuch"},
		{[]string{"server", "a:1", "-run", "("}, errUsage, "-run"},
	} {
		var out, errs bytes.Buffer
		if err := run(t.Context(), c.args, &out, &errs); !errors.Is(err, c.want) || !strings.Contains(errs.String(), c.says) {
			t.Errorf("%q: %v\n%s", c.args, err, errs.String())
		}
	}
	for _, kind := range []string{"server", "client"} {
		var out bytes.Buffer
		if err := run(t.Context(), []string{kind, "-list"}, &out, &out); err != nil || strings.Count(out.String(), "\n") < 100 {
			t.Errorf("%s: %v\n%s", kind, err, out.String())
		}
	}
}
