//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// lockBeside waits until no other chatd passwd works in the file's folder,
// and keeps others from it until unlock. It is the folder that is locked: the
// file is replaced. The system unlocks for a program that died.
func lockBeside(ctx context.Context, file string, stderr io.Writer) (unlock func(), err error) {
	dir, err := os.Open(filepath.Dir(file))
	if err != nil {
		return nil, err
	}
	for tries := 0; ; tries++ {
		err := syscall.Flock(int(dir.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case err == nil:
			return func() { dir.Close() }, nil
		case errors.Is(err, syscall.EINTR):
			continue
		case !errors.Is(err, syscall.EWOULDBLOCK):
			dir.Close()
			return nil, fmt.Errorf("cannot lock %s: %w", dir.Name(), err)
		}
		if tries == 20 {
			fmt.Fprintf(stderr, "chatd: another chatd passwd works on %s; waiting for it\n", file)
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			dir.Close()
			return nil, errStopped
		}
	}
}

// keepOwner gives a file the owner and group of another. Root keeps a server
// able to read its accounts by it.
func keepOwner(f *os.File, of fs.FileInfo) error {
	now, err := f.Stat()
	if err != nil {
		return err
	}
	want, is := of.Sys().(*syscall.Stat_t), now.Sys().(*syscall.Stat_t)
	if want.Uid == is.Uid && want.Gid == is.Gid {
		return nil
	}
	if err := f.Chown(int(want.Uid), int(want.Gid)); err != nil {
		return fmt.Errorf("the file could not keep its owner: %w", err)
	}
	return nil
}

// syncFolder has a name survive a crash.
func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) { // not every file system can
		return err
	}
	return nil
}
