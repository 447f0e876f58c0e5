package chatclient

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-multierror"

	"github.com/parleyproto/parley/chatclient/internal/journal"
)

// A PinFile keeps [Pins] in a text file of this name, one line a server:
//
//	chat.example.com:8000 sha256:ab…ef SCRAM-SHA-256-PLUS
//	chat.example.org:8000 authority SCRAM-SHA-256-PLUS
//
// its address, the fingerprint of its key or that an authority vouches for it,
// and the weakest login to be used with it. To forget a server, remove its
// line, or call [PinFile.Forget]. Lines that are empty or begin with # stay as
// they are, and so do those that cannot be read; [PinFile.Check] tells of the
// latter. One that cannot be read and is about the server that is asked for,
// or a second one about it, is an error: what it said might have been another
// key.
//
// The file and its folder are made when there is something to keep, with modes
// 0600 and 0700. It has at most 1 MiB; what would make it longer is an error.
// It is replaced as a whole, so that readers never see half a line, under a
// lock on a second file, whose name has .lock at the end: any number of
// programs may share it. (Where files cannot be locked, which is where a
// [StateFile] cannot be had either, only those of one program may.)
type PinFile string

// Limits of a PinFile.
const (
	maxPinFile  = 1 << 20         // octets
	pinLockWait = 5 * time.Second // for other programs to be done
	pinLockPoll = 10 * time.Millisecond
)

// pinFileHead begins a new file.
const pinFileHead = "# Servers that were met: address, key (or that an authority vouches for it), weakest login. Remove a line to forget a server.\n"

// pinFiles is the lock of this program.
var pinFiles sync.Mutex

// String returns the name of the file.
func (f PinFile) String() string { return string(f) }

// Pin returns what the file says about a server.
func (f PinFile) Pin(addr string) (Pin, bool, error) {
	lines, err := f.read()
	if err != nil {
		return Pin{}, false, err
	}
	_, p, found, err := f.find(lines, strings.ToLower(addr))
	return p, found, err
}

// SetPin replaces the line of a server, or adds one.
func (f PinFile) SetPin(addr string, p Pin) error {
	addr = strings.ToLower(addr)
	line := pinLine(addr, p)
	if at, again, err := readPinLine(line); err != nil || at != addr || again != p {
		return fmt.Errorf("%s: %q cannot be written as a line of it", string(f), line)
	}
	pinFiles.Lock()
	defer pinFiles.Unlock()
	if err := os.MkdirAll(filepath.Dir(string(f)), 0o700); err != nil {
		return err
	}
	unlock, err := f.lock()
	if err != nil {
		return err
	}
	defer unlock()
	lines, err := f.read()
	if err != nil {
		return err
	}
	i, _, found, err := f.find(lines, addr)
	switch {
	case err != nil:
		return err
	case found:
		lines[i] = line
	default:
		if len(lines) == 0 {
			lines = append(lines, strings.TrimSuffix(pinFileHead, "\n"))
		}
		lines = append(lines, line)
	}
	return f.write(strings.Join(lines, "\n") + "\n")
}

// Forget removes every line about a server, those that cannot be read too, and
// reports whether there was one.
func (f PinFile) Forget(addr string) (found bool, err error) {
	if _, err := os.Stat(string(f)); errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	pinFiles.Lock()
	defer pinFiles.Unlock()
	unlock, err := f.lock()
	if err != nil {
		return false, err
	}
	defer unlock()
	lines, err := f.read()
	if err != nil {
		return false, err
	}
	n := len(lines)
	lines = slices.DeleteFunc(lines, func(line string) bool {
		about, _, err := readPinLine(line)
		return about == strings.ToLower(addr) && err != errNoPin
	})
	if len(lines) == n {
		return false, nil
	}
	return true, f.write(strings.Join(append(lines, ""), "\n"))
}

// Check returns an error for each line that cannot be read, together a
// *multierror.Error, or why the file cannot be; nil if there is none or if
// there is no file.
func (f PinFile) Check() error {
	lines, err := f.read()
	if err != nil {
		return err
	}
	var faults *multierror.Error
	seen := make(map[string]int)
	for i, line := range lines {
		addr, _, err := readPinLine(line)
		switch first := seen[addr]; {
		case err == errNoPin:
			continue
		case err != nil:
		case first > 0:
			err = fmt.Errorf("a second line about %s, which has line %d", addr, first)
		default:
			seen[addr] = i + 1
		}
		if err != nil {
			faults = multierror.Append(faults, f.fault(i, err))
		}
	}
	return faults.ErrorOrNil()
}

// fault names the line of an error, which can be shown as it is.
func (f PinFile) fault(i int, err error) error {
	return fmt.Errorf("%s, line %d: %s", string(f), i+1, Display(err.Error()))
}

// find returns the line about a server.
func (f PinFile) find(lines []string, addr string) (at int, p Pin, found bool, err error) {
	for i, line := range lines {
		about, q, err := readPinLine(line)
		switch {
		case about != addr:
			continue
		case err != nil:
			return 0, Pin{}, false, fmt.Errorf("%w; mend it or, if the server is to be forgotten, remove it", f.fault(i, err))
		case found:
			return 0, Pin{}, false, fmt.Errorf("%w; remove one of the two", f.fault(i, fmt.Errorf("a second line about %s, which has line %d", addr, at+1)))
		}
		at, p, found = i, q, true
	}
	return at, p, found, nil
}

// errNoPin says that a line is none of a server.
var errNoPin = errors.New("no line of a server")

func pinLine(addr string, p Pin) string {
	fingerprint, mechanism := p.Fingerprint, p.Mechanism
	if fingerprint == "" {
		fingerprint = ByAuthority
	}
	if mechanism == "" {
		mechanism = anyMechanism
	}
	return addr + " " + fingerprint + " " + mechanism
}

// anyMechanism stands for the empty Pin.Mechanism.
const anyMechanism = "any"

// readPinLine reads a line. With an error it returns about which server the
// line seems to be.
func readPinLine(line string) (addr string, p Pin, err error) {
	words := strings.Fields(line)
	if len(words) == 0 || strings.HasPrefix(words[0], "#") {
		return "", Pin{}, errNoPin
	}
	addr = strings.ToLower(words[0])
	if len(words) != 3 {
		return addr, Pin{}, fmt.Errorf("want an address, a fingerprint and a login, got %d words", len(words))
	}
	p = Pin{Fingerprint: words[1], Mechanism: words[2]}
	if p.Fingerprint == ByAuthority {
		p.Fingerprint = ""
	} else if !isFingerprint(p.Fingerprint) {
		return addr, Pin{}, fmt.Errorf("%q is neither sha256: and 64 hexadecimal digits nor %q", p.Fingerprint, ByAuthority)
	}
	if p.Mechanism == anyMechanism {
		p.Mechanism = ""
	} else if strings.Trim(p.Mechanism, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") != "" {
		return addr, Pin{}, fmt.Errorf("%q is not the name of a login", p.Mechanism)
	}
	return addr, p, nil
}

// read returns the lines of the file, none if there is no file.
func (f PinFile) read() ([]string, error) {
	file, err := os.Open(string(f))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	b, err := io.ReadAll(io.LimitReader(file, maxPinFile+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxPinFile {
		return nil, f.tooLong()
	}
	if b = bytes.TrimSuffix(b, []byte("\n")); len(b) == 0 {
		return nil, nil
	}
	return strings.Split(string(b), "\n"), nil
}

func (f PinFile) tooLong() error {
	return fmt.Errorf("%s: longer than %d octets; remove lines that are not needed", string(f), maxPinFile)
}

// write replaces the file. The lock is held.
func (f PinFile) write(content string) error {
	if len(content) > maxPinFile {
		return f.tooLong()
	}
	path := string(f)
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target // the link stays
	}
	file, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".new*") // mode 0600
	if err != nil {
		return err
	}
	_, err = file.WriteString(content)
	if err == nil {
		err = file.Sync()
	}
	if cerr := file.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		os.Remove(file.Name())
		return err
	}
	_ = journal.Disk.SyncDir(path) // a power cut may take the pin, which is found again
	return nil
}

// lock waits until no other program changes the file.
func (f PinFile) lock() (unlock func() error, err error) {
	for end := time.Now().Add(pinLockWait); ; time.Sleep(pinLockPoll) {
		file, err := journal.Disk.Open(string(f) + ".lock")
		switch {
		case err == nil:
			return file.Close, nil
		case errors.Is(err, errors.ErrUnsupported):
			return func() error { return nil }, nil
		case !errors.Is(err, journal.ErrInUse) || time.Now().After(end):
			return nil, err
		}
	}
}
