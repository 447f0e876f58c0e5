package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/parleyproto/parley/chatserver"
)

var (
	measured = regexp.MustCompile(`"values":\{[^}]*\}`)
	figureOf = regexp.MustCompile(`:-?[0-9.]+`)
	moment   = regexp.MustCompile(`"time":"[^"]*"`)
	address  = regexp.MustCompile(`"addr":"[^"]*"`)
)

// shape makes of results what is the same in every run.
func shape(results string) string {
	results = measured.ReplaceAllStringFunc(results, func(v string) string { return figureOf.ReplaceAllString(v, ":0") })
	results = moment.ReplaceAllString(results, `"time":"T"`)
	return address.ReplaceAllString(results, `"addr":"A"`)
}

// Every workload runs against a server that does everything right, and its
// result is a line of JSON that programs can rely on.
func TestWorkloads(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the golden file has the server's figures")
	}
	addr := serve(t, nil)
	out, err := runBench(t, withServerFigures(append(small, "-json", "-addr", addr))...)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "workloads.golden", shape(out))
}

// Bad connections of every kind do no harm, and the deaf get their mail in the
// end; of this there is a line of JSON, too.
func TestStrangers(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the golden file has the server's figures")
	}
	addr := serve(t, nil)
	out, err := runBench(t, withServerFigures([]string{"strangers", "-kind", strings.Join(kinds, ","), "-conns", "20",
		"-senders", "2", "-duration", "100ms", "-messages", "3", "-awake=false", "-q", "-json", "-addr", addr})...)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "strangers.golden", shape(out))
	if n := strings.Count(out, `"connections_most":20,`); n < len(kinds)-2 { // the garbage and the handshakes may be gone sooner
		t.Errorf("20 connections were open at once for %d kinds only:\n%s", n, out)
	}
}

// Scale has a row for each size.
func TestScale(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("scale needs -pid")
	}
	addr := serve(t, nil)
	args := []string{"scale", "-conns", "20", "-receivers", "15", "-duration", "50ms", "-warmup", "0s", "-q", "-addr", addr}
	out, err := runBench(t, withServerFigures(args)...)
	if err != nil {
		t.Fatal(err)
	}
	got := regexp.MustCompile(`(?m)^( *\S+) .*$`).ReplaceAllString(out, "$1")
	if want := " connections\n          10\n          20\n   receivers\n           1\n          10\n          15\n"; got != want {
		t.Errorf("the rows are\n%s\nwant\n%s", got, want)
	}
}

// What is wrong is told in one clear sentence.
func TestRefuses(t *testing.T) {
	addr := serve(t, nil)
	other := serve(t, nil) // on the first, logins that were broken off may still be under way
	for _, tt := range []struct {
		why   string
		args  string
		usage bool // told with the usage, exit status 2
		want  string
	}{
		{why: "no such command", args: "stress", usage: true, want: `chatbench: there is no command "stress"`},
		{why: "no such flag", args: "-w6", usage: true, want: "flag provided but not defined: -w6"},
		{why: "an argument too many", args: "-w1 w2", usage: true, want: `chatbench: "w2" is neither a flag nor a command`},
		{why: "no number of accounts", args: "accounts", usage: true, want: "chatbench: accounts takes one argument"},
		{why: "no accounts", args: "accounts 0", usage: true, want: "chatbench: accounts takes one argument"},
		{why: "few iterations", args: "accounts -iterations 4095 1", usage: true, want: "chatbench: -password takes one or more octets on one line, -iterations a number from 4096"},
		{why: "no room for the number", args: "-size 15", usage: true, want: "chatbench: -size takes 16, room for the message's number, to 7168"},
		{why: "more than a message holds", args: "-size 7169", usage: true, want: "chatbench: -size takes 16"},
		{why: "more than the window of numbers", args: "-window 257", usage: true, want: "chatbench: -window takes 1 to 256"},
		{why: "nobody to send to", args: "-pairs 0", usage: true, want: "chatbench: -pairs, -senders and -repeat take numbers from 1"},
		{why: "no receivers", args: "-receivers 5,0", usage: true, want: `invalid value "5,0" for flag -receivers`},
		{why: "no time", args: "-duration 0s", usage: true, want: "chatbench: -duration and -patience take times above 0"},
		{why: "no such mechanism", args: "-mech LOGIN", usage: true, want: "chatbench: -mech takes PLAIN, SCRAM-SHA-256 or SCRAM-SHA-256-PLUS"},
		{why: "binding to nothing", args: "-mech SCRAM-SHA-256-PLUS", usage: true, want: "chatbench: SCRAM-SHA-256-PLUS needs -tls"},
		{why: "a fingerprint of nothing", args: "-fingerprint sha256:00", usage: true, want: "chatbench: -fingerprint takes"},
		{why: "a password in the clear", args: "-addr 192.0.2.1:8000", usage: true, want: "chatbench: 192.0.2.1 is not on this machine"},
		{why: "no port", args: "-addr localhost", usage: true, want: "chatbench: -addr takes HOST:PORT"},
		{why: "no such kind", args: "strangers -kind rude", usage: true, want: "chatbench: -kind takes silent, slow, garbage, handshake, never-read"},
		{why: "a limit of what is not measured", args: "strangers -max-kib 3", usage: true, want: "chatbench: -max-kib needs -pid"},
		{why: "scale without the server", args: "scale", usage: true, want: "chatbench: scale needs -pid"},
		{why: "nobody listens", args: "-w1 -q -awake=false -addr 127.0.0.1:1", want: "w1: nobody listens on 127.0.0.1:1"},
		{why: "a wrong password", args: "-w1 -q -awake=false -password x -addr " + addr, want: "w1: the server does not take the password of bench"},
		{why: "too few accounts", args: "-w4 -q -conns 101 -addr " + addr, want: "w4: the server does not take the password of bench100"},
		{why: "a limit that is exceeded", args: "strangers -q -awake=false -conns 1 -duration 20ms -max-ratio 0.0001 -addr " + other, want: "silent: login, median, ratio is "},
	} {
		t.Run(tt.why, func(t *testing.T) {
			var told bytes.Buffer
			err := run(t.Context(), strings.Fields(tt.args), nil, io.Discard, &told)
			got := ""
			if err != nil {
				got = err.Error()
			}
			if tt.usage {
				got = told.String()
			}
			if err == nil || errors.Is(err, errUsage) != tt.usage || !strings.HasPrefix(got, tt.want) {
				t.Errorf("error %v, text\n%s\nwant\n%s", err, got, tt.want)
			}
		})
	}
}

// Interrupted, it says QUIT and leaves nothing running.
func TestInterrupted(t *testing.T) {
	addr := serve(t, nil)
	ctx, stop := context.WithCancel(t.Context())
	told := &tail{seen: make(chan struct{}), what: "messages"}
	ended := make(chan error, 1)
	go func() {
		ended <- run(ctx, []string{"-w2", "-pairs", "3", "-duration", "1h", "-addr", addr}, nil, io.Discard, told)
	}()
	<-told.seen // it tells how far it is
	stop()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("it ended with %v", err)
	}
}

// A tail waits for something to be told.
type tail struct {
	what string
	seen chan struct{}
	done bool
}

func (w *tail) Write(p []byte) (int, error) {
	if !w.done && strings.Contains(string(p), w.what) {
		w.done = true
		close(w.seen)
	}
	return len(p), nil
}

// The accounts that it writes are what a server reads; with -scram they are
// verifiers.
func TestAccounts(t *testing.T) {
	plainText, err := runBench(t, "accounts", "-password", "two words", "2")
	if err != nil || plainText != "bench0 two words\nbench1 two words\n" {
		t.Errorf("it writes %q, %v", plainText, err)
	}
	verifiers, err := runBench(t, "accounts", "-scram", "2")
	form := regexp.MustCompile(`^(bench\d SCRAM-SHA-256\$4096:[A-Za-z0-9+/]{22}==\$[A-Za-z0-9+/]{43}=:[A-Za-z0-9+/]{43}=\n){2}$`)
	if err != nil || !form.MatchString(verifiers) {
		t.Errorf("it writes %q, %v", verifiers, err)
	}
	if _, err := chatserver.ParseCredentials(strings.NewReader(verifiers)); err != nil {
		t.Error(err)
	}
}

// The table that people read.
func TestTable(t *testing.T) {
	var out bytes.Buffer
	p := params{Pairs: 50, Window: 64, Size: 128, Seconds: 2.5}
	one := figures{{"messages_per_s", "messages a second", 41209.7}, {"server_cpu_s_per_million", "server's CPU, s a million messages", 9.8149}}
	two := figures{{"", "", 40000}, {"", "", 10}}
	three := figures{{"", "", 999.9}, {"", "", 0.304}}
	for _, runs := range [][]figures{{one}, {one, two, three}} {
		if err := table(&out, "w2  "+p.String(), runs); err != nil {
			t.Fatal(err)
		}
	}
	golden(t, "table.golden", out.String())
}

// A limit is exceeded by more than it, not by it.
func TestTooMuch(t *testing.T) {
	b := &bench{o: &options{maxRatio: 2, maxKiB: 16}}
	for _, tt := range []struct {
		key   string
		value float64
		want  bool
	}{
		{"send_p99_ratio", 2, false}, {"send_p99_ratio", 2.01, true}, {"login_p50_ratio", 3, true},
		{"kib_per_connection", 16, false}, {"kib_per_connection", 16.01, true}, {"send_p99_us_alone", 9999, false},
	} {
		if err := b.tooMuch(figures{{tt.key, "it", tt.value}}); (err != nil) != tt.want {
			t.Errorf("%s=%v: %v", tt.key, tt.value, err)
		}
	}
	none := &bench{o: &options{}}
	if err := none.tooMuch(figures{{"send_p99_ratio", "it", 1e9}, {"kib_per_connection", "it", 1e9}}); err != nil {
		t.Errorf("without limits: %v", err)
	}
}

// Latencies are shares of a sorted list.
func TestLatencies(t *testing.T) {
	var l latencies
	for i := 100; i > 0; i-- {
		l = append(l, time.Duration(i)*time.Microsecond)
	}
	l.sort()
	if a, b, c := l.at(0.5), l.at(0.99), l.at(0.999); a != 51 || b != 100 || c != 100 {
		t.Errorf("median %v, 99 %v, 99.9 %v", a, b, c)
	}
	if none := latencies(nil).at(0.5); none != 0 {
		t.Errorf("of nothing it is %v", none)
	}
}
