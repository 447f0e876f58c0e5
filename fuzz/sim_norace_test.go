//go:build !race

package fuzz

const simSeedsDefault = 120

const underRace = false
