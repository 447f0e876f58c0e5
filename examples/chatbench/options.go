package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/parleyproto/parley/chatproto"
)

// errUsage says that the arguments were wrong and the usage was printed.
var errUsage = errors.New("wrong arguments")

// The login mechanisms (SPEC section 9).
const (
	plain     = "PLAIN"
	scramSHA  = "SCRAM-SHA-256"
	scramPlus = "SCRAM-SHA-256-PLUS"
)

// options are the command line.
type options struct {
	addr, password, mech, fingerprint string
	tls, cleartext, json, quiet       bool
	awake                             bool
	pid                               int

	works                            [5]bool // of workloads
	pairs, window, size, conns       int
	senders, dialers, repeat         int
	receivers                        list
	duration, warmup, beat, patience time.Duration

	kind               string
	maxRatio, maxKiB   float64
	every              time.Duration
	messages           int
	rate, reopen       float64
	scram              bool
	iterations, number int
}

// A list is a flag's value of several numbers: 1000,5000.
type list []int

func (l *list) String() string {
	var parts []string
	for _, n := range *l {
		parts = append(parts, strconv.Itoa(n))
	}
	return strings.Join(parts, ",")
}

func (l *list) Set(s string) error {
	*l = nil
	for part := range strings.SplitSeq(s, ",") {
		n, err := strconv.Atoi(part)
		if err != nil || n < 1 {
			return errors.New("numbers from 1, with commas between them")
		}
		*l = append(*l, n)
	}
	return nil
}

// parseArgs reads the arguments of a command, "" for the workloads.
func parseArgs(command string, args []string, stderr io.Writer) (*options, error) {
	o := &options{receivers: list{1000, 5000}}
	fl := o.flags(command)
	fl.SetOutput(stderr)
	fl.Usage = func() { printUsage(command, fl, stderr) }
	if err := fl.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil, err
		}
		return nil, errUsage
	}
	err := o.check(command, fl)
	if err != nil {
		fmt.Fprintln(stderr, "chatbench:", err)
		fmt.Fprintf(stderr, "usage: %s   (chatbench -h lists the flags)\n", commands[command].usage)
		return nil, errUsage
	}
	return o, nil
}

func printUsage(command string, fl *flag.FlagSet, w io.Writer) {
	fmt.Fprintf(w, "usage: %s\n", commands[command].usage)
	fl.PrintDefaults()
	if command != "" {
		return
	}
	for _, name := range []string{"accounts", "strangers", "scale"} {
		fmt.Fprintf(w, "usage: %s\n\t%s\n", commands[name].usage, commands[name].what)
		new(options).flags(name).VisitAll(func(f *flag.Flag) {
			if fl.Lookup(f.Name) == nil {
				value, text := flag.UnquoteUsage(f)
				fmt.Fprintf(w, "%s\n    \t%s (default %s)\n", strings.TrimRight("  -"+f.Name+" "+value, " "), text, f.DefValue)
			}
		})
	}
}

// flags declares the flags of a command.
func (o *options) flags(command string) *flag.FlagSet {
	fl := flag.NewFlagSet("chatbench "+command, flag.ContinueOnError)
	fl.SetOutput(io.Discard)
	fl.StringVar(&o.password, "password", "bench", "the `PASSWORD` of all accounts")
	if command == "accounts" {
		fl.BoolVar(&o.scram, "scram", false, "write SCRAM verifiers instead of passwords")
		fl.IntVar(&o.iterations, "iterations", 4096, "the `COUNT` of iterations of the verifiers")
		return fl
	}
	fl.StringVar(&o.addr, "addr", "127.0.0.1:8000", "the server's `HOST:PORT`")
	fl.IntVar(&o.pid, "pid", 0, "the server's process `ID`, for its processor time and memory")
	fl.StringVar(&o.mech, "mech", plain, "log in by `MECHANISM`: "+plain+", "+scramSHA+" or, with -tls, "+scramPlus)
	fl.BoolVar(&o.tls, "tls", false, "talk TLS; whose server it is is not checked, unless by -fingerprint")
	fl.StringVar(&o.fingerprint, "fingerprint", "", "with -tls, take only the server with this key: `sha256:HEX`")
	fl.BoolVar(&o.cleartext, "cleartext", false, "give the password in cleartext to a server on another machine")
	fl.BoolVar(&o.json, "json", false, "write a line of JSON for each result, instead of tables")
	fl.BoolVar(&o.quiet, "q", false, "do not tell how far it is")
	fl.IntVar(&o.size, "size", 128, "`OCTETS` of a message's text")
	fl.IntVar(&o.dialers, "dialers", 64, "the `NUMBER` of logins under way at once")
	fl.DurationVar(&o.beat, "beat", 30*time.Second, "the heartbeat that the clients promise")
	fl.DurationVar(&o.patience, "patience", 30*time.Second, "how long nothing may arrive before it counts as lost")
	fl.DurationVar(&o.duration, "duration", defaultDuration(command), "how long to measure")
	if command == "scale" {
		fl.IntVar(&o.window, "window", 16, "the `NUMBER` of messages unanswered at once, for each sender")
		fl.DurationVar(&o.warmup, "warmup", time.Second, "how long to run before it is measured")
		fl.IntVar(&o.conns, "conns", 10_000, "up to this `NUMBER` of connections")
		o.receivers = list{5000}
		fl.Var(&o.receivers, "receivers", "up to this `NUMBER` of receivers")
		return fl
	}
	fl.IntVar(&o.conns, "conns", 10_000, "the `NUMBER` of connections (-w4, strangers)")
	fl.IntVar(&o.senders, "senders", 8, "the `NUMBER` of senders (-w5, strangers that never read)")
	fl.BoolVar(&o.awake, "awake", awakeWorks, "while latencies are measured, keep processors from halting when idle")
	if command == "strangers" {
		o.strangerFlags(fl)
		return fl
	}
	for i, w := range workloads {
		fl.BoolVar(&o.works[i], w.name, false, w.what)
	}
	fl.IntVar(&o.pairs, "pairs", 50, "the `NUMBER` of pairs (-w2)")
	fl.IntVar(&o.window, "window", 0, "the `NUMBER` of messages unanswered at once, for each sender (default 64 for -w2, 16 for -w3, 256 for -w5)")
	fl.Var(&o.receivers, "receivers", "the `NUMBER` of receivers (-w3; several with commas), or of users who are away (-w5, the first)")
	fl.DurationVar(&o.warmup, "warmup", time.Second, "how long to run before it is measured")
	fl.IntVar(&o.repeat, "repeat", 1, "how `OFTEN` to run each workload")
	return fl
}

func (o *options) strangerFlags(fl *flag.FlagSet) {
	fl.StringVar(&o.kind, "kind", "silent", "what the bad connections do: "+strings.Join(kinds, ", ")+", or several `KINDS` with commas")
	fl.Float64Var(&o.maxRatio, "max-ratio", 0, "fail if a latency is more than so many `TIMES` the one without them; 0: whatever it is")
	fl.Float64Var(&o.maxKiB, "max-kib", 0, "fail if the server grows by more than so many `KIB` a connection; 0: whatever it is")
	fl.DurationVar(&o.every, "every", 10*time.Millisecond, "how often the good client comes")
	fl.Float64Var(&o.reopen, "reopen", 200, "how many connections a `SECOND` to open again that the server closed")
	fl.IntVar(&o.messages, "messages", 20, "the `NUMBER` of messages to each that never reads")
	fl.Float64Var(&o.rate, "rate", 500, "messages a `SECOND` to them while latencies are measured")
}

func defaultDuration(command string) time.Duration {
	if command == "scale" {
		return 3 * time.Second
	}
	return 10 * time.Second
}

// check finds what is wrong with the arguments.
func (o *options) check(command string, fl *flag.FlagSet) error {
	if command == "accounts" {
		n, err := strconv.Atoi(fl.Arg(0))
		if fl.NArg() != 1 || err != nil || n < 1 {
			return errors.New("accounts takes one argument, their number, from 1")
		}
		o.number = n
		if o.password == "" || strings.ContainsAny(o.password, "\r\n") || o.iterations < 4096 {
			return errors.New("-password takes one or more octets on one line, -iterations a number from 4096")
		}
		return nil
	}
	if fl.NArg() != 0 {
		return fmt.Errorf("%q is neither a flag nor a command", fl.Arg(0))
	}
	if most := chatproto.V1.Limits.Text; o.size < numberLen || o.size > most {
		return fmt.Errorf("-size takes %d, room for the message's number, to %d", numberLen, most)
	}
	if most := chatproto.V1.Limits.Window; o.window < 0 || o.window > most {
		return fmt.Errorf("-window takes 1 to %d (0: the workload's own)", most)
	}
	for _, n := range []int{o.conns, o.dialers} {
		if n < 1 {
			return errors.New("-conns and -dialers take numbers from 1")
		}
	}
	if command == "" && (o.pairs < 1 || o.senders < 1 || o.repeat < 1) {
		return errors.New("-pairs, -senders and -repeat take numbers from 1")
	}
	if o.duration <= 0 || o.warmup < 0 || o.beat < time.Second || o.patience <= 0 {
		return errors.New("-duration and -patience take times above 0, -beat from 1s, -warmup from 0")
	}
	if command == "strangers" {
		if err := o.checkStrangers(); err != nil {
			return err
		}
	}
	if command == "scale" && o.pid == 0 {
		return errors.New("scale needs -pid: it compares the server's processor time")
	}
	return o.checkSecurity()
}

func (o *options) checkStrangers() error {
	for k := range strings.SplitSeq(o.kind, ",") {
		if !slices.Contains(kinds, k) {
			return fmt.Errorf("-kind takes %s, not %q", strings.Join(kinds, ", "), k)
		}
	}
	if o.every <= 0 || o.reopen <= 0 || o.rate <= 0 || o.messages < 1 || o.senders < 1 || o.maxRatio < 0 || o.maxKiB < 0 {
		return errors.New("-every, -reopen, -rate, -messages and -senders take what is above 0, -max-ratio and -max-kib what is not below")
	}
	if o.maxKiB > 0 && o.pid == 0 {
		return errors.New("-max-kib needs -pid")
	}
	return nil
}

// checkSecurity finds what must not be without being asked for.
func (o *options) checkSecurity() error {
	host, _, err := net.SplitHostPort(o.addr)
	if err != nil {
		return fmt.Errorf("-addr takes HOST:PORT: %w", err)
	}
	switch o.mech {
	case plain, scramSHA:
	case scramPlus:
		if !o.tls {
			return errors.New(scramPlus + " needs -tls")
		}
	default:
		return fmt.Errorf("-mech takes %s, %s or %s, not %q", plain, scramSHA, scramPlus, o.mech)
	}
	if o.fingerprint != "" && (!o.tls || !strings.HasPrefix(o.fingerprint, "sha256:")) {
		return errors.New("-fingerprint takes sha256: and 64 digits, and needs -tls")
	}
	ip := net.ParseIP(host)
	if local := host == "localhost" || ip != nil && ip.IsLoopback(); o.mech == plain && !o.tls && !o.cleartext && !local {
		return fmt.Errorf("%s is not on this machine, and everybody on the path could read the password: take -tls, -mech %s or -cleartext", host, scramSHA)
	}
	if o.pid != 0 && runtime.GOOS != "linux" {
		return errors.New("-pid: the server's processor time and memory are available on Linux only")
	}
	return nil
}
