package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/parleyproto/parley/chatserver"
)

// A credentialsFile is the text of a credentials file. What is not changed
// stays as it is, to the octet.
type credentialsFile struct {
	there    bool
	lines    []credentialsLine
	accounts chatserver.Credentials
}

// A credentialsLine is a line, with its end.
type credentialsLine string

// readCredentialsFile reads the file, which may be missing. One that chatd
// would not take is not changed either: which line is meant is not certain.
func readCredentialsFile(file string) (*credentialsFile, error) {
	b, err := os.ReadFile(file)
	f := &credentialsFile{there: err == nil}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for line := range strings.Lines(string(b)) {
		f.lines = append(f.lines, credentialsLine(line))
	}
	if f.accounts, err = chatserver.ParseCredentials(bytes.NewReader(b)); err != nil {
		return nil, fmt.Errorf("%w\nmend it first; nothing was changed", credentialsError("the credentials file "+file+" has", err))
	}
	return f, nil
}

// byteOrderMark may stand at the beginning of a file from Windows.
const byteOrderMark = "\ufeff"

// cut splits a line into a byte order mark, what counts, and its end.
func (l credentialsLine) cut() (mark, text, end string) {
	text = strings.TrimPrefix(string(l), byteOrderMark)
	mark = string(l)[:len(l)-len(text)]
	text = strings.TrimRight(text, "\r\n")
	return mark, text, string(l)[len(mark)+len(text):]
}

// account is what a line says; the name is "" if it is none of an account's.
func (l credentialsLine) account() (name, value string) {
	_, text, _ := l.cut()
	if text == "" || text[0] == '#' {
		return "", ""
	}
	name, value, _ = strings.Cut(text, " ")
	return name, value
}

// find returns the index of the user's line, -1 if there is none.
func (f *credentialsFile) find(user string) int {
	for i, l := range f.lines {
		if name, _ := l.account(); name == user {
			return i
		}
	}
	return -1
}

// set gives the user of a line another password or verifier.
func (f *credentialsFile) set(i int, value string) {
	mark, _, end := f.lines[i].cut()
	name, _ := f.lines[i].account()
	f.lines[i] = credentialsLine(mark + name + " " + value + end)
}

// add adds a line for a user, with an end like the others'.
func (f *credentialsFile) add(user, value string) {
	end := "\n"
	if n := len(f.lines); n > 0 {
		if _, _, first := f.lines[0].cut(); first != "" {
			end = first
		}
		if _, _, last := f.lines[n-1].cut(); last == "" {
			f.lines[n-1] += credentialsLine(end)
		}
	}
	f.lines = append(f.lines, credentialsLine(user+" "+value+end))
}

// remove removes a line.
func (f *credentialsFile) remove(i int) {
	mark, _, _ := f.lines[i].cut()
	f.lines = append(f.lines[:i], f.lines[i+1:]...)
	if mark != "" && len(f.lines) > 0 {
		f.lines[0] = credentialsLine(mark) + f.lines[0]
	}
}

// fits finds what keeps a user from being added, such as a name that differs
// from another in capitals only.
func (f *credentialsFile) fits(user string) error {
	with := &credentialsFile{lines: append([]credentialsLine(nil), f.lines...)}
	with.add(user, "x")
	if with.find(user) < 0 {
		return fmt.Errorf("%q would be a comment in a credentials file, not a user", user)
	}
	return with.check()
}

// check finds what would keep chatd from taking the file.
func (f *credentialsFile) check() error {
	if _, err := chatserver.ParseCredentials(strings.NewReader(f.text())); err != nil {
		return credentialsError("the credentials file would then have", err)
	}
	return nil
}

func (f *credentialsFile) text() string {
	var b strings.Builder
	for _, l := range f.lines {
		b.WriteString(string(l))
	}
	return b.String()
}

// write puts the text in the place of the file: all of it or, whatever
// happens, none. Mode and owner stay; a new file is its owner's alone.
func (f *credentialsFile) write(path string) (err error) {
	if err := f.check(); err != nil {
		return err
	}
	mode := fs.FileMode(0o600)
	was, err := os.Stat(path)
	switch {
	case err == nil:
		mode = was.Mode().Perm()
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*.tmp") // for its owner alone
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.WriteString(f.text())
	if was != nil {
		err = errors.Join(err, keepOwner(tmp, was))
	}
	if err = errors.Join(err, tmp.Chmod(mode), tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	if err := os.Rename(tmp.Name(), path); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(path))
}
