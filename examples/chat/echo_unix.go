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

// keepEnd makes ^D a key like others while the terminal gathers lines. Else
// one that is typed ahead of the line editor would not be there for it: the
// terminal puts the end of a line in its place.
func keepEnd(fd int) {
	if t, err := unix.IoctlGetTermios(fd, getTermios); err == nil {
		t.Cc[unix.VEOF] = noKey
		unix.IoctlSetTermios(fd, setTermios, t)
	}
}
