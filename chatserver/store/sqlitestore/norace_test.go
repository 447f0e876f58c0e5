//go:build !race

package sqlitestore

const raced = false
