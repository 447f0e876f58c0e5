//go:build race

package fuzz

// The race detector makes everything ten times slower.
const simSeedsDefault = 12

const underRace = true
