//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package journal

import (
	"errors"
	"fmt"
	"os"
	"runtime"
)

// lock refuses: two programs with one file would use numbers twice, so there
// is no durable state without a lock.
func lock(*os.File) error {
	return fmt.Errorf("a durable state on %s: %w", runtime.GOOS, errors.ErrUnsupported)
}
