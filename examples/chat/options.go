package main

import (
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

const usage = `usage: chat [flags] <server ip> <port>

A chat client for the terminal. It asks for a name and a password; /help then
lists what can be typed. Through pipes it reads commands from standard input
and logs out at its end.

The connection is encrypted. Who the server is, an authority that this system
trusts may vouch for; else the server's key is asked about on the first use,
and refused when it is another one later. A server on this machine is not asked
about.

flags:
`

// A usageError says what is wrong with the arguments.
type usageError string

func (e usageError) Error() string { return string(e) }

// options are the arguments.
type options struct {
	addr, host, port              string
	user                          string
	passwordFile, passwordCommand string
	debug, times                  bool
	cleartext, forget             bool
	fingerprint                   string
	home, state                   string
	listen                        string
	dialBack                      dialBack
	heartbeat                     time.Duration
}

func (o *options) flags() *flag.FlagSet {
	fs := flag.NewFlagSet("chat", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.StringVar(&o.user, "user", "", "log in as this `name` instead of asking")
	fs.StringVar(&o.passwordFile, "password-file", "", "take the password from the first line of this `file`")
	fs.StringVar(&o.passwordCommand, "password-command", "", "take the password from the first line that this `command` prints")
	fs.StringVar(&o.fingerprint, "fingerprint", "", "accept the server only if its key has this `fingerprint` (sha256:...), which\nchatd prints when it starts; for scripts, which cannot be asked")
	fs.BoolVar(&o.forget, "forget", false, "forget the key of the server, and end; the next start gets to know it anew")
	fs.BoolVar(&o.cleartext, "cleartext", false, "talk without TLS, to other machines too: everybody on the way can read every\nmessage, and change it")
	fs.StringVar(&o.home, "config", "", "keep the keys of servers and users, and one's own, in this `folder` (default:\nparley in the folder where this system keeps a user's configuration)")
	fs.StringVar(&o.state, "state", "", "keep in this `file` what must not be forgotten, also when chat is killed: a\nmessage that has no answer at the end is sent once chat is started with the\nfile again, and delivered once; one that was shown is not shown again. A file\nserves one user, and one chat at a time")
	fs.BoolVar(&o.debug, "debug", false, "show every line of the protocol on standard error, passwords masked")
	fs.BoolVar(&o.times, "time", false, "show the time before each line")
	fs.StringVar(&o.listen, "listen", "", "listen on this `address` for private chats, such as :9000 (default: any free\nport; \"off\" does not listen)")
	fs.Var(&o.dialBack, "dialback", "close the connection when there is nothing to say, and let the server connect to\nthis machine when something comes, if it is one that does so (chatd -dialback)\nand can; -dialback=:9001 names the address for that (default: any free port)")
	fs.DurationVar(&o.heartbeat, "heartbeat", 0, "tell the server this often that the client lives (default 30s)")
	return fs
}

func parseArgs(args []string, stdout io.Writer) (o options, err error) {
	fs := o.flags()
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			fs.SetOutput(stdout)
			fmt.Fprint(stdout, usage)
			fs.PrintDefaults()
			return o, err
		}
		return o, usageError(err.Error())
	}
	if fs.NArg() != 2 {
		return o, usageError(fmt.Sprintf("want a server and a port, got %d arguments", fs.NArg()))
	}
	o.host, o.port = fs.Arg(0), fs.Arg(1)
	port, err := strconv.ParseUint(o.port, 10, 16)
	if err != nil || port == 0 {
		return o, usageError(fmt.Sprintf("%q is no port: want a number from 1 to 65535", o.port))
	}
	o.addr = net.JoinHostPort(o.host, o.port)
	if o.heartbeat < 0 {
		return o, usageError("-heartbeat must not be negative")
	}
	if err := checkFingerprint(o.fingerprint); err != nil {
		return o, err
	}
	if o.fingerprint != "" && o.cleartext {
		return o, usageError("-fingerprint and -cleartext exclude each other: without TLS a server has no key")
	}
	if o.listen != "off" {
		err = checkListen("listen", o.listen, "host:port, :port or off")
	}
	if err == nil {
		err = checkListen("dialback", o.dialBack.listen, "host:port or :port")
	}
	return o, err
}

// A dialBack is the flag of that name, which may have an address.
type dialBack struct {
	on     bool
	listen string
}

func (d *dialBack) String() string   { return d.listen }
func (d *dialBack) IsBoolFlag() bool { return true }

func (d *dialBack) Set(value string) error {
	if on, err := strconv.ParseBool(value); err == nil {
		*d = dialBack{on: on}
		return nil
	}
	*d = dialBack{true, value}
	return nil
}

// checkFingerprint checks the form of a fingerprint.
func checkFingerprint(s string) error {
	digits, ok := strings.CutPrefix(strings.ToLower(s), "sha256:")
	if b, err := hex.DecodeString(digits); s != "" && (!ok || err != nil || len(b) != 32) {
		return usageError(fmt.Sprintf("-fingerprint: %q is none: want sha256: and 64 hexadecimal digits", s))
	}
	return nil
}

// checkListen checks an address to listen on. The server gives no port below
// 1024 away, and connects to none.
func checkListen(name, addr, forms string) error {
	if addr == "" {
		return nil
	}
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return usageError(fmt.Sprintf("-%s: %q is no address: want %s", name, addr, forms))
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n > 0 && n < 1024 {
		return usageError(fmt.Sprintf("-%s: %q: want a port from 1024 to 65535, or 0 for any", name, addr))
	}
	return nil
}

// forgetCommand is what the person types to forget the server.
func (o *options) forgetCommand() string {
	words := "chat -forget "
	if o.home != "" {
		words += "-config " + o.home + " "
	}
	return words + o.host + " " + o.port
}
