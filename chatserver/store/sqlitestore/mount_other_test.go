//go:build !linux

package sqlitestore

import "errors"

func mountSmall(dir, size string) (unmount func() error, err error) {
	return nil, errors.New("this system mounts no disk for tests")
}
