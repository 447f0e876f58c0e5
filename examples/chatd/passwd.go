package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/parleyproto/parley/chatserver"
)

// passwdVerbs are what chatd passwd does.
var passwdVerbs = []struct {
	name, args, what string
	run              func(*passwdCall) error
}{
	{"add", "USER", "makes an account", (*passwdCall).add},
	{"set", "USER", "gives an account another password", (*passwdCall).set},
	{"del", "USER", "removes an account", (*passwdCall).del},
	{"list", "", "shows the accounts, and whose password is in plaintext", (*passwdCall).list},
	{"import", "", "turns every password in plaintext into what only verifies it", (*passwdCall).convert},
}

// A passwdCall is one call of chatd passwd.
type passwdCall struct {
	ctx            context.Context
	file, user     string
	stdin          io.Reader
	stdout, stderr io.Writer
}

// passwd looks after a credentials file.
func passwd(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	c := &passwdCall{ctx: ctx, stdin: stdin, stdout: stdout, stderr: stderr}
	fl := flag.NewFlagSet("chatd passwd", flag.ContinueOnError)
	fl.SetOutput(stderr)
	fl.StringVar(&c.file, "credentials", defaultCredentials, "")
	fl.Usage = func() { passwdHelp(stderr) }
	var words []string // flags may stand anywhere
	for rest := args; ; {
		if err := fl.Parse(rest); errors.Is(err, flag.ErrHelp) {
			return err
		} else if err != nil {
			return errUsage
		}
		if fl.NArg() == 0 {
			break
		}
		words, rest = append(words, fl.Arg(0)), fl.Args()[1:]
	}
	for _, verb := range passwdVerbs {
		if len(words) == 0 || words[0] != verb.name {
			continue
		}
		want := 1 + len(strings.Fields(verb.args))
		switch {
		case want == 2 && len(words) == 3:
			fmt.Fprintln(stderr, "chatd: a password is never given as an argument, where others on this machine can see it: it is asked for, or read from standard input")
			return errUsage
		case want != len(words):
			passwdHelp(stderr)
			return errUsage
		case want == 2:
			c.user = words[1]
		}
		return verb.run(c)
	}
	passwdHelp(stderr)
	return errUsage
}

func passwdHelp(w io.Writer) {
	fmt.Fprint(w, "usage: chatd passwd add|set|del|list|import [-credentials FILE] [USER]\n\n")
	for _, verb := range passwdVerbs {
		fmt.Fprintf(w, "  %-9s  %s\n", strings.TrimRight(verb.name+" "+verb.args, " "), verb.what)
	}
	fmt.Fprintf(w, `
A password is asked for, twice, or read from standard input (its first line)
when that is no terminal. FILE is %s if not given; comments and
order in it stay. A chatd that runs takes over what changed on SIGHUP.
`, defaultCredentials)
}

func (c *passwdCall) add() error {
	if err := chatserver.CheckAccountName(c.user); err != nil {
		return fmt.Errorf("%q cannot be a user's name: %w", c.user, err)
	}
	isNew := func(f *credentialsFile) error {
		if f.find(c.user) >= 0 {
			return fmt.Errorf("there is an account %q in %s already; to change its password: %s %s", c.user, c.file, passwdCommand("set", c.file), c.user)
		}
		return f.fits(c.user)
	}
	return c.give(isNew, func(f *credentialsFile, value string) { f.add(c.user, value) }, "added %s to %s", c.user, c.file)
}

func (c *passwdCall) set() error {
	return c.give(c.has, func(f *credentialsFile, value string) { f.set(f.find(c.user), value) }, "%s has a new password in %s", c.user, c.file)
}

func (c *passwdCall) del() error {
	last := false
	err := c.edit(func(f *credentialsFile) error {
		if err := c.has(f); err != nil {
			return err
		}
		f.remove(f.find(c.user))
		last = accountsIn(f.accounts) == 1
		return nil
	})
	if err != nil {
		return err
	}
	c.done("removed %s from %s", c.user, c.file)
	if last {
		fmt.Fprintf(c.stderr, "chatd: warning: that was the last account: chatd does not start with %s as it is now, and does not take it over on SIGHUP\n", c.file)
	}
	return nil
}

func (c *passwdCall) list() error {
	f, err := readCredentialsFile(c.file)
	if err != nil {
		return err
	}
	if !f.there {
		return missing{c.file}
	}
	for _, l := range f.lines {
		switch name, value := l.account(); {
		case name == "":
		case isPlaintext(value):
			fmt.Fprintf(c.stdout, "%s\tplaintext\n", name)
		default:
			fmt.Fprintf(c.stdout, "%s\tverifier\n", name)
		}
	}
	return nil
}

func (c *passwdCall) convert() error {
	converted := 0
	err := c.edit(func(f *credentialsFile) error {
		if !f.there {
			return missing{c.file}
		}
		for i, l := range f.lines {
			name, value := l.account()
			if name == "" || !isPlaintext(value) {
				continue
			}
			if c.ctx.Err() != nil {
				return errStopped
			}
			v, err := f.accounts.NewVerifier(value)
			if err != nil {
				return fmt.Errorf("line %d: %w", i+1, err)
			}
			f.set(i, v.String())
			converted++
		}
		if converted == 0 {
			return errNothing
		}
		return nil
	})
	switch {
	case errors.Is(err, errNothing):
		fmt.Fprintf(c.stdout, "%s has no password in plaintext\n", c.file)
		return nil
	case err != nil:
		return err
	}
	c.done("%s: %d passwords are verifiers now; copies of the old file still have them in plaintext", c.file, converted)
	return nil
}

var (
	errNothing = errors.New("nothing to change")
	errStopped = errors.New("stopped; nothing was changed")
)

// has refuses a user who has no account.
func (c *passwdCall) has(f *credentialsFile) error {
	if !f.there {
		return missing{c.file}
	}
	if f.find(c.user) < 0 {
		return fmt.Errorf("there is no account %q in %s; %s shows those there are", c.user, c.file, passwdCommand("list", c.file))
	}
	return nil
}

// give has the user's password asked for, if check finds nothing, and put it
// in the file, if it still finds nothing.
func (c *passwdCall) give(check func(*credentialsFile) error, put func(*credentialsFile, string), done string, a ...any) error {
	f, err := readCredentialsFile(c.file)
	if err != nil {
		return err
	}
	if err := check(f); err != nil {
		return err
	}
	password, err := readPassword(c.ctx, c.stdin, c.stderr, c.user)
	if err != nil {
		return err
	}
	err = c.edit(func(f *credentialsFile) error {
		if err := check(f); err != nil {
			return err
		}
		v, err := f.accounts.NewVerifier(password)
		if err != nil {
			return err
		}
		put(f, v.String())
		return nil
	})
	if err != nil {
		return err
	}
	c.done(done, a...)
	return nil
}

// edit changes the file, while nobody else does.
func (c *passwdCall) edit(change func(*credentialsFile) error) error {
	path, err := resolve(c.file)
	if err != nil {
		return err
	}
	unlock, err := lockBeside(c.ctx, path, c.stderr)
	if err != nil {
		return err
	}
	defer unlock()
	f, err := readCredentialsFile(path)
	if err != nil {
		return err
	}
	if err := change(f); err != nil {
		return err
	}
	return f.write(path)
}

// done says what happened, and what is still to be done.
func (c *passwdCall) done(format string, a ...any) {
	fmt.Fprintf(c.stdout, format+"\n", a...)
	fmt.Fprintln(c.stdout, "a chatd that runs takes it over on SIGHUP")
}

// resolve follows links, so that what they lead to is replaced and not they.
func resolve(file string) (string, error) {
	path, err := filepath.EvalSymlinks(file)
	if errors.Is(err, fs.ErrNotExist) {
		return file, nil
	}
	return path, err
}
