package memstore_test

import (
	"testing"

	"github.com/parleyproto/parley/chatserver/store"
	"github.com/parleyproto/parley/chatserver/store/memstore"
	"github.com/parleyproto/parley/chatserver/store/storetest"
)

// What a memstore keeps lives as long as its value: a new server is given the
// same one.
func TestStore(t *testing.T) {
	storetest.Run(t,
		func(testing.TB) store.Store { return memstore.New() },
		func(t testing.TB, old store.Store) store.Store { return old })
}
