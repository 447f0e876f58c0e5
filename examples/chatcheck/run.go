package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"regexp"
	"time"

	"github.com/parleyproto/parley/chatproto/conformance"
)

// errUsage says that the arguments were wrong and that was printed; errFailed
// that a case failed.
var (
	errUsage  = errors.New("wrong arguments")
	errFailed = errors.New("a case failed")
)

// options are the command line.
type options struct {
	conformance.Options
	match       string
	junit, json string
	list        bool
	verbose     bool

	// Of a server.
	credentials                        string
	tls                                bool
	fingerprint                        string
	timeout, idleTimeout, loginTimeout time.Duration

	// Of a client.
	listen         string
	dialBack       bool
	user, password string

	args []string // what follows the flags
}

// run is chatcheck without its process.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) == 0 {
		args = []string{"-h"}
	}
	o, err := parseArgs(args, stderr)
	if err != nil {
		return err
	}
	check := o.checkServer
	cases := conformance.ServerCases()
	if args[0] == "client" {
		check, cases = o.checkClient, conformance.ClientCases()
	}
	if o.list {
		return list(stdout, cases)
	}
	if o.verbose {
		o.OnResult = func(r conformance.Result) {
			fmt.Fprintf(stdout, "%-8s %s (section %s)\n", r.Outcome, r.Case.Name, r.Case.Section)
		}
	}
	report, err := check(ctx, stdout)
	if err != nil {
		return err
	}
	return o.tell(report, stdout)
}

const usage = `usage: chatcheck server [flags] HOST:PORT
       chatcheck client [flags] [COMMAND…]
`

func parseArgs(args []string, stderr io.Writer) (*options, error) {
	o := new(options)
	fl := flag.NewFlagSet("chatcheck", flag.ContinueOnError)
	fl.SetOutput(stderr)
	fl.StringVar(&o.match, "run", "", "only the cases whose name matches this regular `EXPRESSION`")
	fl.BoolVar(&o.Slow, "slow", false, "also the cases that wait for up to ten minutes")
	fl.BoolVar(&o.Strict, "strict", false, "who does not do what is recommended (SHOULD) fails")
	fl.DurationVar(&o.Patience, "patience", 5*time.Second, "how long to wait for what must come")
	fl.StringVar(&o.junit, "junit", "", "write the report to `FILE`, as JUnit's XML")
	fl.StringVar(&o.json, "json", "", "write the report to `FILE`, as JSON")
	fl.BoolVar(&o.list, "list", false, "list the cases, and check nothing")
	fl.BoolVar(&o.verbose, "v", false, "print every case")
	fl.StringVar(&o.credentials, "credentials", "", "server: the `FILE` with the accounts, three or more, one \"<username> <password>\" a line; without it those of chatd's demo")
	fl.BoolVar(&o.tls, "tls", false, "server: connect with TLS; whatever key the server has is taken, and printed")
	fl.StringVar(&o.fingerprint, "fingerprint", "", "server: the only `KEY` that is taken, as sha256:…; implies -tls")
	fl.DurationVar(&o.timeout, "timeout", 45*time.Second, "server: its timeout of silent clients, for -slow")
	fl.DurationVar(&o.idleTimeout, "idle-timeout", 10*time.Minute, "server: its timeout of persons, for -slow")
	fl.DurationVar(&o.loginTimeout, "login-timeout", 30*time.Second, "server: its timeout from connecting to the login, for -slow")
	fl.StringVar(&o.listen, "listen", "127.0.0.1:0", "client: the `ADDRESS` that it is to connect to")
	fl.BoolVar(&o.dialBack, "dialback", false, "client: it speaks TLS and goes away when nothing is said, for the server to call it back; that alone is checked, and it need not echo")
	fl.StringVar(&o.user, "user", "columbia", "client: whom it is to log in as")
	fl.StringVar(&o.password, "password", "116bway", "client: with which password")
	fl.Usage = func() {
		fmt.Fprint(stderr, usage)
		fl.PrintDefaults()
	}
	bad := func(format string, a ...any) (*options, error) {
		fmt.Fprintf(stderr, "chatcheck: "+format+"\n%s(chatcheck -h lists the flags)\n", append(a, usage)...)
		return nil, errUsage
	}
	kind := args[0]
	if kind == "server" || kind == "client" {
		args = args[1:]
	}
	for len(args) > 0 {
		if err := fl.Parse(args); err != nil {
			if errors.Is(err, flag.ErrHelp) {
				return nil, err
			}
			return nil, errUsage
		}
		args = fl.Args()
		if kind == "client" { // the rest is a command, with flags of its own
			o.args, args = args, nil
		} else if len(args) > 0 {
			o.args, args = append(o.args, args[0]), args[1:]
		}
	}
	var err error
	switch {
	case kind != "server" && kind != "client":
		return bad("%q is neither server nor client", kind)
	case kind == "server" && o.dialBack:
		return bad("-dialback is about a client; of a server it is checked with -tls, if it offers it")
	case kind == "server" && len(o.args) != 1 && !o.list:
		return bad("one address is needed, of the server")
	}
	if o.Match, err = regexp.Compile(o.match); err != nil {
		return bad("-run: %v", err)
	}
	return o, nil
}

// list prints the cases.
func list(w io.Writer, cases []conformance.Case) error {
	for _, c := range cases {
		kind := ""
		switch {
		case c.Should && c.Slow:
			kind = " (recommended, slow)"
		case c.Should:
			kind = " (recommended)"
		case c.Slow:
			kind = " (slow)"
		}
		if _, err := fmt.Fprintf(w, "%-5s %s%s: %s\n", c.Section, c.Name, kind, c.Rule); err != nil {
			return err
		}
	}
	return nil
}

// tell writes the report wherever it is wanted.
func (o *options) tell(r *conformance.Report, stdout io.Writer) error {
	for _, f := range []struct {
		name  string
		write func(io.Writer) error
	}{{o.junit, r.WriteJUnit}, {o.json, r.WriteJSON}} {
		if f.name == "" {
			continue
		}
		if err := writeFile(f.name, f.write); err != nil {
			return fmt.Errorf("cannot write the report: %w", err)
		}
	}
	if err := r.WriteText(stdout); err != nil {
		return err
	}
	if !r.OK() {
		return errFailed
	}
	return nil
}

func writeFile(name string, write func(io.Writer) error) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	if err := write(f); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}
