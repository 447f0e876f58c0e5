//go:build race

package model

// The race detector makes everything ten times slower, and there is one
// goroutine.
const underRace = true
