//go:build race

package sqlitestore

// The race detector makes SQLite, which is translated to Go, twenty times as
// slow.
const raced = true
