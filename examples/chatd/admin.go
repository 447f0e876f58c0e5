package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/parleyproto/parley/chatserver/store/jsonl"
	"github.com/parleyproto/parley/chatserver/store/sqlitestore"
)

// commands are what chatd does beside serving.
var commands = map[string]struct {
	args, what string
	run        func(ctx context.Context, data, file string, stdout io.Writer) error
}{
	"backup": {"FILE", "copies the store to FILE, also while a server runs on it", backup},
	"check":  {"", "reads the whole store and reports what is damaged; changes nothing", check},
	"export": {"FILE", "writes the store to FILE as lines of JSON, also while a server runs on it; FILE is as secret as the store", export},
	"import": {"FILE", "reads what export wrote into a store that is empty", importFile},
}

// admin runs a command.
func admin(ctx context.Context, name string, args []string, stdout, stderr io.Writer) error {
	cmd := commands[name]
	fl := flag.NewFlagSet("chatd "+name, flag.ContinueOnError)
	fl.SetOutput(stderr)
	data := fl.String("data", "./chatd-data", "the `DIR` that the server keeps its state in")
	fl.Usage = func() {
		fmt.Fprintf(stderr, "usage: chatd %s [-data DIR] %s\n  %s\n", name, cmd.args, cmd.what)
	}
	if err := fl.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return err
		}
		return errUsage
	}
	if want := len(cmd.args) > 0; fl.NArg() > 1 || want != (fl.NArg() == 1) {
		fl.Usage()
		return errUsage
	}
	err := cmd.run(ctx, filepath.Join(*data, storeFile), fl.Arg(0), stdout)
	if errors.Is(err, fs.ErrNotExist) && name != "import" {
		return fmt.Errorf("there is no store in %s; -data names the folder (%w)", *data, err)
	}
	return err
}

func backup(ctx context.Context, db, file string, stdout io.Writer) error {
	report, err := sqlitestore.Backup(ctx, db, file)
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "copied to %s: %d waiting messages in %d mailboxes\n", file, report.Messages, report.Mailboxes)
	return damage(report)
}

func check(ctx context.Context, db, _ string, stdout io.Writer) error {
	r, err := sqlitestore.Check(ctx, db)
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "%d waiting messages (%d octets) in %d mailboxes, %d origins, %d blocks, %d sessions, %d accounts, %d login sources; %d commits; %d damaged rows (%d octets) put aside earlier\n",
		r.Messages, r.Octets, r.Mailboxes, r.Origins, r.Blocks, r.Sessions, r.Accounts, r.Attempts, r.Commits, r.Quarantined, r.QuarantineOctets)
	for _, d := range r.Damage {
		fmt.Fprintln(stdout, "damaged:", d)
	}
	if err := damage(r); err != nil {
		return err
	}
	fmt.Fprintln(stdout, "all is well")
	return nil
}

func damage(r *sqlitestore.Report) error {
	if len(r.Damage) > 0 {
		return errors.New("the store is damaged; a server that is started puts aside what is, tells its log, and serves the rest")
	}
	return nil
}

// export exports a copy, so that neither a running server is disturbed nor
// anything repaired.
func export(ctx context.Context, db, file string, stdout io.Writer) (err error) {
	out, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if cerr := out.Close(); err == nil {
			err = cerr
		}
		if err != nil {
			os.Remove(file)
		}
	}()
	dir, err := os.MkdirTemp(filepath.Dir(file), ".chatd-export-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	copied := filepath.Join(dir, storeFile)
	if _, err := sqlitestore.Backup(ctx, db, copied); err != nil {
		return err
	}
	st, err := sqlitestore.Open(copied, sqlitestore.Options{})
	if err != nil {
		return err
	}
	defer st.Close()
	missing, err := jsonl.Export(ctx, st, out)
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "exported to %s\n", file)
	if missing > 0 {
		return fmt.Errorf("%d messages are damaged and missing from %s", missing, file)
	}
	return out.Sync()
}

func importFile(ctx context.Context, db, file string, stdout io.Writer) error {
	in, err := os.Open(file)
	if err != nil {
		return err
	}
	defer in.Close()
	if err := os.MkdirAll(filepath.Dir(db), 0o700); err != nil {
		return err
	}
	st, err := sqlitestore.Open(db, sqlitestore.Options{})
	if err != nil {
		return err
	}
	defer st.Close()
	if err := jsonl.Import(ctx, st, in); err != nil {
		return fmt.Errorf("importing %s: %w", file, err)
	}
	fmt.Fprintf(stdout, "imported %s\n", file)
	return nil
}
