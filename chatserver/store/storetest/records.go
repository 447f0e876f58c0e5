package storetest

import (
	"github.com/parleyproto/parley/chatproto"
	"github.com/parleyproto/parley/chatserver/store"
)

func testOrigins(b *bench) {
	var w, w2 chatproto.Window
	for n := uint64(1); n < 400; n++ {
		w.Decide(n, n%3 != 0)
	}
	w2.Decide(1<<63+5, true)
	origins := func() any { _, st := b.load(); return st.Origins }
	b.commit(&store.Batch{Origins: []store.Origin{
		{User: "a", Origin: 1<<64 - 1, Window: w, Used: 1_700_000_000_000},
		{User: "b", Origin: 1<<64 - 1, Window: w2, Used: 1},
		{User: "b", Origin: 2}, {User: "b", Origin: 3},
	}})
	b.commit(&store.Batch{Origins: []store.Origin{
		{User: "b", Origin: 2, Window: w, Used: 5}, {User: "b", Origin: 3, Forget: true}, {User: "c", Origin: 3, Forget: true},
	}})
	b.same("origins", []store.Origin{
		{User: "a", Origin: 1<<64 - 1, Window: w, Used: 1_700_000_000_000},
		{User: "b", Origin: 2, Window: w, Used: 5},
		{User: "b", Origin: 1<<64 - 1, Window: w2, Used: 1},
	}, origins)
	b.commit(&store.Batch{Origins: []store.Origin{ // in the order given
		{User: "a", Origin: 1<<64 - 1, Forget: true}, {User: "a", Origin: 1<<64 - 1, Used: 9},
		{User: "b", Origin: 2, Used: 9}, {User: "b", Origin: 2, Forget: true},
		{User: "b", Origin: 1<<64 - 1, Forget: true},
	}})
	b.same("origins", []store.Origin{{User: "a", Origin: 1<<64 - 1, Used: 9}}, origins)
}

func testBlocks(b *bench) {
	blocks := func() any { _, st := b.load(); return st.Blocks }
	b.commit(&store.Batch{Blocks: []store.Block{{Owner: "a", User: "b"}, {Owner: "b", User: "a"}, {Owner: "ab", User: "c"}, {Owner: "a", User: "bc"}}})
	b.commit(&store.Batch{Blocks: []store.Block{
		{Owner: "a", User: "b", Off: true}, {Owner: "a", User: "x", Off: true}, {Owner: "b", User: "a"},
		{Owner: "c", User: "a"}, {Owner: "c", User: "a", Off: true}, {Owner: "d", User: "a", Off: true}, {Owner: "d", User: "a"},
	}})
	b.same("blocks", []store.Block{{Owner: "a", User: "bc"}, {Owner: "ab", User: "c"}, {Owner: "b", User: "a"}, {Owner: "d", User: "a"}}, blocks)
}

func testSessions(b *bench) {
	sessions := func() any { _, st := b.load(); return st.Sessions }
	b.commit(&store.Batch{Sessions: []store.Session{{User: "a", Origin: 1}, {User: "b", Origin: 2}, {User: "c", Origin: 1<<64 - 1}}})
	b.commit(&store.Batch{Sessions: []store.Session{
		{User: "a", Origin: 3},              // replaces the session
		{User: "a", Origin: 1, Ended: true}, // the end of the replaced one comes late
		{User: "b", Origin: 2, Ended: true}, {User: "x", Origin: 2, Ended: true},
	}})
	b.same("sessions", []store.Session{{User: "a", Origin: 3}, {User: "c", Origin: 1<<64 - 1}}, sessions)
	b.commit(&store.Batch{Sessions: []store.Session{{User: "a", Origin: 3, Ended: true}, {User: "c", Origin: 1<<64 - 1, Ended: true}}})
	b.same("sessions", []store.Session(nil), sessions)
}
