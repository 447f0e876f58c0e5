//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// lockBeside keeps others from the file until unlock, by a file beside it
// that only one can make.
func lockBeside(_ context.Context, file string, _ io.Writer) (unlock func(), err error) {
	name := file + ".lock"
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("another chatd passwd works on %s; if none does, one died: remove %s", file, name)
	}
	if err != nil {
		return nil, err
	}
	f.Close()
	return func() { os.Remove(name) }, nil
}

func keepOwner(*os.File, fs.FileInfo) error { return nil }

func syncFolder(string) error { return nil }
