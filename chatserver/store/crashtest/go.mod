module github.com/parleyproto/parley/chatserver/store/crashtest

go 1.26.0

require (
	github.com/ncruces/go-sqlite3 v0.35.4
	github.com/parleyproto/parley v0.0.0
)

require (
	github.com/google/go-cmp v0.7.0 // indirect
	github.com/ncruces/go-sqlite3-wasm/v5 v5.0.35304 // indirect
	github.com/ncruces/julianday v1.0.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
	pgregory.net/rapid v1.3.0 // indirect
)

replace github.com/parleyproto/parley => ../../..
