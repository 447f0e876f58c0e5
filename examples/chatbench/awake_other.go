//go:build !linux

package main

import (
	"errors"
	"io"
)

const awakeWorks = false

// keepAwake does nothing: there is no scheduling class for idle time.
func (b *bench) keepAwake() (stop func()) { return func() {} }

func spin(io.Reader) error { return errors.ErrUnsupported }
