package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/go-multierror"
	"golang.org/x/sync/errgroup"

	"github.com/parleyproto/parley/chatserver"
	"github.com/parleyproto/parley/chatserver/store"
	"github.com/parleyproto/parley/chatserver/store/memstore"
	"github.com/parleyproto/parley/chatserver/store/sqlitestore"
)

// shutdownTime is how long chatd waits for its clients to be told goodbye.
const shutdownTime = 10 * time.Second

// run is chatd without its process: it serves until ctx ends, or does what
// another command says.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	if len(args) > 0 && args[0] == "passwd" {
		return passwd(ctx, args[1:], stdin, stdout, stderr)
	}
	if len(args) > 0 {
		if _, ok := commands[args[0]]; ok {
			return admin(ctx, args[0], args[1:], stdout, stderr)
		}
	}
	o, err := parseArgs(args, stderr)
	if err != nil {
		return err
	}
	d := &daemon{options: o, stdin: stdin, stdout: &lines{w: stdout}, stderr: &lines{w: stderr}}
	return d.run(ctx)
}

// A daemon is chatd as a server.
type daemon struct {
	*options
	stdin          io.Reader
	stdout, stderr io.Writer
	logger         *slog.Logger
	accounts       accounts
	isDemo         bool
	certificate    *certificate
	srv            *chatserver.Server
}

// lines are written by several goroutines, one at a time.
type lines struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

// say tells the operator what happened, complain what is wrong, and warn what
// he may not want.
func (d *daemon) say(format string, a ...any) { fmt.Fprintf(d.stdout, format+"\n", a...) }
func (d *daemon) complain(format string, a ...any) {
	fmt.Fprintf(d.stderr, "chatd: "+format+"\n", a...)
}
func (d *daemon) warn(warnings ...string) {
	for _, w := range warnings {
		d.complain("warning: %s", w)
	}
}

func (d *daemon) run(ctx context.Context) (err error) {
	level := slog.LevelWarn
	if d.verbose {
		level = slog.LevelDebug
	}
	d.logger = slog.New(slog.NewTextHandler(d.stderr, &slog.HandlerOptions{Level: level}))
	stopProfile, err := startProfile(d.cpuProfile)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stopProfile()) }()
	if err := d.firstAccounts(); err != nil {
		return err
	}
	st, err := d.openStore()
	if err != nil {
		return err
	}
	defer func() {
		if cerr := st.Close(); err == nil && cerr != nil {
			err = fmt.Errorf("closing the store: %w", cerr)
		}
	}()
	if d.certificate, err = d.openCertificate(ctx); err != nil {
		return err
	}
	hangUps := make(chan os.Signal, 1)
	signal.Notify(hangUps, syscall.SIGHUP) // from here on it ends nothing
	defer signal.Stop(hangUps)
	l, err := net.Listen(d.network(), net.JoinHostPort(d.listen, strconv.Itoa(d.port)))
	if err != nil {
		return listenError(err, d.port)
	}
	if a, ok := l.Addr().(*net.TCPAddr); ok {
		d.port = a.Port
	}
	var calm calm
	defer calm.stop()
	giveHeadroom()
	d.srv = &chatserver.Server{
		Accounts:        &d.accounts,
		Store:           st,
		Hooks:           calm.hooks(),
		Logger:          d.logger,
		Timeout:         d.timeout,
		Heartbeat:       d.heartbeat,
		Lockout:         d.lockout,
		HideBlocks:      d.hideBlocks,
		DialBack:        d.dialBack,
		TLSConfig:       d.certificate.config,
		AllowCleartext:  d.cleartext,
		RequireBinding:  d.requireBinding,
		ProxyFrom:       d.proxyFrom,
		MailboxMessages: d.mailboxMessages,
		MailboxBytes:    d.mailboxBytes,
		Limits:          d.limits,
	}
	d.say("listening on %s", l.Addr())
	if err := d.announceCertificate(); err != nil {
		l.Close()
		return err
	}
	if d.isDemo {
		d.announceDemo()
	}
	err = d.serve(ctx, l, hangUps)
	d.logger.Info("ended", "stats", fmt.Sprintf("%+v", d.srv.Stats()))
	return err
}

// firstAccounts reads the credentials file, or takes the demo accounts. A file
// that was named must be there.
func (d *daemon) firstAccounts() error {
	c, unwise, err := readCredentials(d.credentials)
	if d.isDemo = errors.Is(err, fs.ErrNotExist) && d.credentials == defaultCredentials; d.isDemo {
		if !d.onLoopback() {
			return fmt.Errorf("without a credentials file chatd serves demo accounts, whose passwords everybody knows, and so on loopback only; make %s by chatd passwd add, or leave out -listen", d.credentials)
		}
		c, err = demo, nil
	}
	if err != nil {
		return err
	}
	d.accounts.replace(c)
	d.warn(unwise...)
	return nil
}

// storeFile is the one file in the data folder that holds all but keys.
const storeFile = "chat.db"

// openStore opens what the server keeps, and makes it the first time.
func (d *daemon) openStore() (store.Store, error) {
	if d.memory {
		return memstore.New(), nil
	}
	if err := os.MkdirAll(d.data, 0o700); err != nil {
		return nil, fmt.Errorf("cannot make the data folder: %w", err)
	}
	return sqlitestore.Open(filepath.Join(d.data, storeFile), sqlitestore.Options{Logger: d.logger})
}

// serve serves until ctx ends, or the terminal that chatd was started on, and
// then shuts down. SIGHUP has it read its files again.
func (d *daemon) serve(ctx context.Context, l net.Listener, hangUps <-chan os.Signal) error {
	ctx, end := context.WithCancel(ctx)
	defer end()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		if err := d.srv.Serve(l); !errors.Is(err, chatserver.ErrServerClosed) {
			return err // and ctx ends
		}
		return nil
	})
	group.Go(func() error {
		<-ctx.Done()
		return d.shutDown(context.WithoutCancel(ctx))
	})
	group.Go(func() error {
		d.certificate.obtain(ctx)
		return nil
	})
	group.Go(func() error {
		hadTerminal := isTerminal(d.stdin)
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-hangUps:
			}
			if hadTerminal && !isTerminal(d.stdin) {
				end()
				return nil
			}
			d.reload(ctx)
		}
	})
	return group.Wait()
}

// shutDown ends the server. That somebody had to be cut off before he was told
// goodbye is no failure: what was accepted is stored all the same.
func (d *daemon) shutDown(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, shutdownTime)
	defer cancel()
	err := d.srv.Shutdown(ctx)
	var all *multierror.Error
	if !errors.As(err, &all) {
		return err
	}
	var faults []error
	for _, err := range all.Errors {
		if err == context.DeadlineExceeded {
			d.logger.Warn("clients that could not be told goodbye were cut off", "after", shutdownTime)
		} else {
			faults = append(faults, err)
		}
	}
	return errors.Join(faults...)
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

func (d *daemon) announceDemo() {
	d.say("There is no %s: serving demo accounts, on loopback only:", d.credentials)
	for _, name := range slices.Sorted(maps.Keys(demo)) {
		d.say("  %s %s", name, demo[name])
	}
}
