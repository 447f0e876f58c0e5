//go:build race

package chatserver_test

func init() { raceEnabled = true }
