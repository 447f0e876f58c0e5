package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/hashicorp/go-multierror"
	"golang.org/x/sync/errgroup"

	"github.com/parleyproto/parley/chatserver"
	"github.com/parleyproto/parley/chatserver/store"
	"github.com/parleyproto/parley/chatserver/store/memstore"
	"github.com/parleyproto/parley/chatserver/store/sqlitestore"
)

// errUsage says that the arguments were wrong and the usage was printed.
var errUsage = errors.New("wrong arguments")

// shutdownTime is how long chatd waits for its clients to be told goodbye.
const shutdownTime = 10 * time.Second

// demo are the accounts of a server without a credentials file: those of the
// demo sessions.
var demo = chatserver.Credentials{
	"columbia": "116bway", "google": "hasglasses", "A": "passA", "B": "passB", "C": "passC",
}

// options are the command line.
type options struct {
	port                        int
	credentials, data, listen   string
	lockout, heartbeat, timeout time.Duration
	cleartext, memory, verbose  bool
}

// run is chatd without its process: it serves until ctx ends.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	if len(args) > 0 {
		if _, ok := commands[args[0]]; ok {
			return admin(ctx, args[0], args[1:], stdout, stderr)
		}
	}
	o, err := parseArgs(args, stderr)
	if err != nil {
		return err
	}
	accounts, isDemo, err := o.accounts()
	if err != nil {
		return err
	}
	if ip := net.ParseIP(o.listen); isDemo && (ip == nil || !ip.IsLoopback()) {
		return fmt.Errorf("without a credentials file chatd serves demo accounts, whose passwords everybody knows, and so on loopback only; make %s, or leave out -listen", o.credentials)
	}
	logger := o.logger(stderr)
	st, err := o.openStore(logger)
	if err != nil {
		return err
	}
	defer func() {
		if cerr := st.Close(); err == nil && cerr != nil {
			err = fmt.Errorf("closing the store: %w", cerr)
		}
	}()
	l, err := net.Listen("tcp", net.JoinHostPort(o.listen, strconv.Itoa(o.port)))
	if err != nil {
		return listenError(err, o.port)
	}
	srv := &chatserver.Server{
		Accounts:       accounts,
		Store:          st,
		Logger:         logger,
		Lockout:        o.lockout,
		Heartbeat:      o.heartbeat,
		Timeout:        o.timeout,
		AllowCleartext: o.cleartext,
	}
	fmt.Fprintf(stdout, "listening on %s\n", l.Addr())
	if isDemo {
		announceDemo(stdout, o.credentials)
	}
	err = serve(ctx, srv, l)
	logger.Info("ended", "stats", fmt.Sprintf("%+v", srv.Stats()))
	return err
}

func (o *options) logger(stderr io.Writer) *slog.Logger {
	level := slog.LevelWarn
	if o.verbose {
		level = slog.LevelDebug
	}
	return slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: level}))
}

// storeFile is the one file in the data folder that holds everything.
const storeFile = "chat.db"

// openStore opens what the server keeps, and makes it the first time.
func (o *options) openStore(logger *slog.Logger) (store.Store, error) {
	if o.memory {
		return memstore.New(), nil
	}
	if err := os.MkdirAll(o.data, 0o700); err != nil {
		return nil, fmt.Errorf("cannot make the data folder: %w", err)
	}
	return sqlitestore.Open(filepath.Join(o.data, storeFile), sqlitestore.Options{Logger: logger})
}

// serve serves until ctx ends, then shuts down.
func serve(ctx context.Context, srv *chatserver.Server, l net.Listener) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		if err := srv.Serve(l); !errors.Is(err, chatserver.ErrServerClosed) {
			return err // and ctx ends
		}
		return nil
	})
	group.Go(func() error {
		<-ctx.Done()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTime)
		defer cancel()
		return srv.Shutdown(ctx)
	})
	return group.Wait()
}

func parseArgs(args []string, stderr io.Writer) (*options, error) {
	o := new(options)
	fl := flag.NewFlagSet("chatd", flag.ContinueOnError)
	fl.SetOutput(stderr)
	fl.StringVar(&o.credentials, "credentials", "credentials.txt", "the `FILE` with the accounts, one \"<username> <password>\" a line")
	fl.StringVar(&o.data, "data", "./chatd-data", "the `DIR` for all that the server keeps")
	fl.StringVar(&o.listen, "listen", "127.0.0.1", "the `ADDR` to listen on")
	fl.DurationVar(&o.lockout, "lockout", 60*time.Second, "how long three wrong passwords in a row block an account")
	fl.DurationVar(&o.heartbeat, "heartbeat", 30*time.Second, "how long the server is silent before it says that it lives")
	fl.DurationVar(&o.timeout, "timeout", 45*time.Second, "how long a client may be silent before it is logged out")
	fl.BoolVar(&o.cleartext, "cleartext", false, "also serve other machines in cleartext: everybody on the path can read messages and passwords")
	fl.BoolVar(&o.memory, "memory", false, "keep everything in memory: when chatd ends, what was accepted and not delivered is lost")
	fl.BoolVar(&o.verbose, "v", false, "log every connection")
	fl.Usage = func() {
		fmt.Fprintf(stderr, "usage: chatd [flags] <port>\n")
		fl.PrintDefaults()
		for _, name := range slices.Sorted(maps.Keys(commands)) {
			fmt.Fprintf(stderr, "chatd %s [-data DIR] %s\n  \t%s\n", name, commands[name].args, commands[name].what)
		}
	}
	if err := fl.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil, err
		}
		return nil, errUsage
	}
	bad := func(format string, a ...any) (*options, error) {
		fmt.Fprintf(stderr, "chatd: "+format+"\n", a...)
		fmt.Fprintln(stderr, "usage: chatd [flags] <port>   (chatd -h lists the flags)")
		return nil, errUsage
	}
	if fl.NArg() != 1 {
		return bad("one argument is needed, the port to listen on")
	}
	port, err := strconv.ParseUint(fl.Arg(0), 10, 16)
	if err != nil {
		return bad("%q is no port: a port is a number from 0 (any free one) to 65535", fl.Arg(0))
	}
	o.port = int(port)
	if o.lockout <= 0 || o.heartbeat <= 0 || o.timeout <= 0 {
		return bad("-lockout, -heartbeat and -timeout take a time above 0, such as 45s")
	}
	return o, nil
}

// accounts reads the credentials file; without one it returns the demo
// accounts. A file that was named must be there.
func (o *options) accounts() (accounts chatserver.Credentials, isDemo bool, err error) {
	f, err := os.Open(o.credentials)
	if errors.Is(err, fs.ErrNotExist) && o.credentials == "credentials.txt" {
		return demo, true, nil
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, fmt.Errorf("there is no credentials file %s; it has one \"<username> <password>\" a line", o.credentials)
	}
	if err != nil {
		return nil, false, fmt.Errorf("cannot read the credentials file: %w", err)
	}
	defer f.Close()
	accounts, err = chatserver.ParseCredentials(f)
	if err != nil {
		return nil, false, credentialsError(o.credentials, err)
	}
	if len(accounts) == 0 {
		return nil, false, fmt.Errorf("the credentials file %s has no account; it takes one \"<username> <password>\" a line", o.credentials)
	}
	return accounts, false, nil
}

// credentialsError names every bad line.
func credentialsError(file string, err error) error {
	var all *multierror.Error
	if !errors.As(err, &all) {
		return fmt.Errorf("%s: %w", file, err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "the credentials file %s has %d bad line(s):", file, len(all.Errors))
	for _, e := range all.Errors {
		fmt.Fprintf(&b, "\n  %v", e)
	}
	return errors.New(b.String())
}

func listenError(err error, port int) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("port %d is in use by another program; end it or choose another port", port)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("port %d may not be opened by this user; choose one from 1024 on", port)
	}
	return fmt.Errorf("cannot listen: %w", err)
}

func announceDemo(w io.Writer, missing string) {
	fmt.Fprintf(w, "There is no %s: serving demo accounts, on loopback only:\n", missing)
	for _, name := range slices.Sorted(maps.Keys(demo)) {
		fmt.Fprintf(w, "  %s %s\n", name, demo[name])
	}
}
