package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/acme/autocert"

	"github.com/parleyproto/parley/chatserver"
)

// errUsage says that the arguments were wrong and the usage was printed.
var errUsage = errors.New("wrong arguments")

// options are the command line.
type options struct {
	port                          int
	listen                        string
	credentials, data             string
	cert, key                     string
	acme                          list
	acmeDirectory, acmeEmail      string
	requireBinding, cleartext     bool
	hideBlocks, memory, verbose   bool
	dialBack                      bool
	lockout, heartbeat, timeout   time.Duration
	limits                        chatserver.Limits
	mailboxMessages, mailboxBytes int
	proxies                       list
	proxyFrom                     []netip.Prefix
	cpuProfile                    string
	dataGiven                     bool
}

// defaultCredentials may be missing: the demo accounts stand in for it.
const defaultCredentials = "credentials.txt"

// A list is a flag of several values with commas between them.
type list []string

func (l *list) String() string { return strings.Join(*l, ",") }

func (l *list) Set(s string) error {
	*l = nil
	for part := range strings.SplitSeq(s, ",") {
		if part = strings.TrimSpace(part); part == "" {
			return errors.New("an empty part")
		}
		*l = append(*l, part)
	}
	return nil
}

// flags returns the flags of serving.
func (o *options) flags(stderr io.Writer) *flag.FlagSet {
	fl := flag.NewFlagSet("chatd", flag.ContinueOnError)
	fl.SetOutput(stderr)
	fl.StringVar(&o.listen, "listen", "127.0.0.1", "the `ADDR` to listen on; 0.0.0.0 is all of IPv4, :: all of IPv4 and IPv6")
	fl.StringVar(&o.data, "data", "./chatd-data", "the `DIR` for all that the server keeps: messages, and the key that clients know it by")
	fl.BoolVar(&o.memory, "memory", false, "keep everything in memory: when chatd ends, what was accepted and not delivered is lost, and, without -data, its key")

	fl.StringVar(&o.credentials, "credentials", defaultCredentials, "the `FILE` with the accounts; chatd passwd looks after it, SIGHUP has it read again")
	fl.BoolVar(&o.hideBlocks, "hide-blocks", false, "do not tell users that they are blocked: who blocked them seems to be offline")
	fl.DurationVar(&o.lockout, "lockout", 60*time.Second, "how long three wrong passwords in a row block an account for the address they came from")

	fl.StringVar(&o.cert, "cert", "", "the `FILE` with a certificate (PEM) in place of the one that chatd makes itself; read again when it changes, and on SIGHUP")
	fl.StringVar(&o.key, "key", "", "the `FILE` with the key of -cert (PEM)")
	fl.Var(&o.acme, "acme", "get certificates for these names, `HOST[,HOST]`, from an authority, whose terms of service you accept; it connects to port 443 of each, which must lead to chatd's port")
	fl.StringVar(&o.acmeDirectory, "acme-directory", autocert.DefaultACMEDirectory, "the `URL` at which that authority begins")
	fl.StringVar(&o.acmeEmail, "acme-email", "", "the `ADDRESS` at which the authority may write to you")
	fl.BoolVar(&o.requireBinding, "require-binding", false, "take logins over TLS only from clients that tie them to the connection (SCRAM-SHA-256-PLUS)")
	fl.BoolVar(&o.cleartext, "cleartext", false, "also serve other machines without TLS: everybody on the way can read and change what is said, and try passwords on what he saw of a login")

	fl.IntVar(&o.limits.Strangers, "max-strangers", 4096, "`N` connections that are not logged in, in all; one more makes the oldest go")
	fl.IntVar(&o.limits.StrangersPerSource, "max-strangers-per-source", 32, "`N` of them from one source; -1 is no limit")
	fl.Float64Var(&o.limits.ConnectRate, "connect-rate", 10, "`N` new connections a second from one source, ten times as many at once; -1 is no limit")
	fl.Float64Var(&o.limits.RequestRate, "request-rate", 0, "`N` requests a second of one user; 0 is no limit: who sends waits for his answers")
	fl.IntVar(&o.mailboxMessages, "mailbox-messages", 10_000, "`N` messages waiting for one user")
	fl.IntVar(&o.mailboxBytes, "mailbox-bytes", 16<<20, "`N` octets of messages waiting for one user")
	fl.Var(&o.proxies, "proxy-from", "the addresses of proxies, `PREFIX,...`, that send a PROXY header; connections from elsewhere must not have one")

	fl.DurationVar(&o.heartbeat, "heartbeat", 30*time.Second, "how long the server is silent before it says that it lives")
	fl.DurationVar(&o.timeout, "timeout", 45*time.Second, "how long a client may be silent before it is logged out")
	fl.BoolVar(&o.dialBack, "dialback", false, "connect to clients that went away and asked to be called when something comes for them: at the address they came from, and a port from 1024 up that they name")
	fl.StringVar(&o.cpuProfile, "cpuprofile", "", "write to this `FILE` what the processor was busy with until chatd ended, for go tool pprof")
	fl.BoolVar(&o.verbose, "v", false, "log every connection")
	return fl
}

// flagGroups is how -h shows the flags.
var flagGroups = []struct {
	title string
	flags []string
}{
	{"Where", []string{"listen", "data", "memory"}},
	{"Who", []string{"credentials", "hide-blocks", "lockout"}},
	{"How clients know the server, and nobody else reads along", []string{"cert", "key", "acme", "acme-directory", "acme-email", "require-binding", "cleartext"}},
	{"How much (a source is an IPv4 address or an IPv6 /64; this machine is exempt from limits by source)",
		[]string{"max-strangers", "max-strangers-per-source", "connect-rate", "request-rate", "mailbox-messages", "mailbox-bytes", "proxy-from"}},
	{"And", []string{"heartbeat", "timeout", "dialback", "cpuprofile", "v"}},
}

// help prints what chatd can do.
func help(fl *flag.FlagSet, w io.Writer) {
	fmt.Fprintf(w, "usage: chatd [flags] <port>\n")
	for _, g := range flagGroups {
		fmt.Fprintf(w, "\n%s:\n", g.title)
		for _, name := range g.flags {
			f := fl.Lookup(name)
			value, usage := flag.UnquoteUsage(f)
			fmt.Fprintln(w, strings.TrimRight("  -"+name+" "+value, " "))
			if f.DefValue != "" && f.DefValue != "false" {
				usage += " (default " + f.DefValue + ")"
			}
			fmt.Fprintf(w, "    \t%s\n", usage)
		}
	}
	fmt.Fprintf(w, "\nOn SIGHUP chatd reads -credentials, -cert and -key again, and disconnects nobody but removed users.\n\nOther commands (-h behind one tells more):\n")
	fmt.Fprintf(w, "  chatd passwd add|set|del|list|import [-credentials FILE] [USER]\n    \tlooks after the accounts\n")
	for _, name := range slices.Sorted(maps.Keys(commands)) {
		fmt.Fprintf(w, "  chatd %s\n    \t%s\n", strings.TrimRight(name+" [-data DIR] "+commands[name].args, " "), commands[name].what)
	}
}

func parseArgs(args []string, stderr io.Writer) (*options, error) {
	o := new(options)
	fl := o.flags(stderr)
	fl.Usage = func() { help(fl, stderr) }
	if err := fl.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil, err
		}
		return nil, errUsage
	}
	fl.Visit(func(f *flag.Flag) { o.dataGiven = o.dataGiven || f.Name == "data" })
	err := o.check(fl.Args())
	if err != nil {
		fmt.Fprintf(stderr, "chatd: %v\nusage: chatd [flags] <port>   (chatd -h lists the flags)\n", err)
		return nil, errUsage
	}
	return o, nil
}

// check takes the port and finds what does not fit.
func (o *options) check(args []string) error {
	if len(args) != 1 {
		return errors.New("one argument is needed, the port to listen on")
	}
	port, err := strconv.ParseUint(args[0], 10, 16)
	if err != nil {
		return fmt.Errorf("%q is no port: a port is a number from 0 (any free one) to 65535", args[0])
	}
	o.port = int(port)
	l := &o.limits
	switch {
	case o.lockout <= 0 || o.heartbeat <= 0 || o.timeout <= 0:
		return errors.New("-lockout, -heartbeat and -timeout take a time above 0, such as 45s")
	case l.Strangers <= 0 || o.mailboxMessages <= 0 || o.mailboxBytes <= 0:
		return errors.New("-max-strangers, -mailbox-messages and -mailbox-bytes take a number above 0")
	case l.StrangersPerSource <= 0 && l.StrangersPerSource != -1 || !(l.ConnectRate > 0) && l.ConnectRate != -1:
		return errors.New("-max-strangers-per-source and -connect-rate take a number above 0, or -1 for no limit")
	case !(l.RequestRate >= 0):
		return errors.New("-request-rate takes a number above 0, or 0 for no limit")
	case (o.cert == "") != (o.key == ""):
		return errors.New("-cert and -key go together")
	case o.cert != "" && len(o.acme) > 0:
		return errors.New("-cert and -acme exclude each other: the certificate is yours, or chatd gets it")
	case len(o.acme) > 0 && o.keptIn() == "":
		return errors.New("-acme needs a folder for its certificates, or an authority would soon give no more: add -data to -memory")
	}
	return errors.Join(o.checkACME(), o.checkProxies())
}

func (o *options) checkACME() error {
	for i, host := range o.acme {
		o.acme[i] = strings.ToLower(host)
		_, err := netip.ParseAddr(host)
		if err == nil || !strings.Contains(strings.Trim(host, "."), ".") || strings.ContainsFunc(host, func(r rune) bool {
			return r != '.' && r != '-' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
		}) {
			return fmt.Errorf("-acme takes names of hosts such as chat.example.org (others than ASCII ones as xn--...), not %q", host)
		}
	}
	if u, err := url.Parse(o.acmeDirectory); err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return fmt.Errorf("-acme-directory takes an address that begins with https://, not %q", o.acmeDirectory)
	}
	return nil
}

// checkProxies reads -proxy-from; an address stands for itself alone.
func (o *options) checkProxies() error {
	for _, s := range o.proxies {
		p, err := netip.ParsePrefix(s)
		if ip, ipErr := netip.ParseAddr(s); ipErr == nil {
			p, err = ip.Prefix(ip.BitLen())
		}
		if err != nil {
			return fmt.Errorf("-proxy-from takes addresses and prefixes such as 192.0.2.1 or 10.0.0.0/8, not %q", s)
		}
		o.proxyFrom = append(o.proxyFrom, p.Masked())
	}
	return nil
}

// keptIn is the folder for what outlives chatd, "" if there is none.
func (o *options) keptIn() string {
	if o.memory && !o.dataGiven {
		return ""
	}
	return o.data
}

// network is what to listen on: 0.0.0.0 would else be IPv6, too.
func (o *options) network() string {
	if ip, err := netip.ParseAddr(o.listen); err == nil && ip.Is4() {
		return "tcp4"
	}
	return "tcp"
}

// onLoopback reports whether only this machine can connect.
func (o *options) onLoopback() bool {
	ip := net.ParseIP(o.listen)
	return ip != nil && ip.IsLoopback()
}
