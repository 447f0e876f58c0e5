//go:build race

package main

import "os"

// With -race the programs that the tests drive are built with it too. They do
// not linger at their end.
func init() {
	buildFlags = append(buildFlags, "-race")
	os.Setenv("GORACE", "atexit_sleep_ms=0")
}
