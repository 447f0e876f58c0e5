//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package main

import "golang.org/x/sys/unix"

// noEcho makes a terminal show nothing of what is typed. It reports false if
// that cannot be done.
func noEcho(fd int) bool {
	t, err := unix.IoctlGetTermios(fd, getTermios)
	if err != nil {
		return false
	}
	t.Lflag &^= unix.ECHO | unix.ECHONL
	return unix.IoctlSetTermios(fd, setTermios, t) == nil
}
