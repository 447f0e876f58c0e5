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

func testAccounts(b *bench) {
	accounts := func() any { _, st := b.load(); return st.Accounts }
	b.commit(&store.Batch{Accounts: []store.Account{
		{User: "a", Verifier: "SCRAM-SHA-256$15000:c2FsdA==$c3RvcmVk:c2VydmVy"}, {User: "b", Verifier: "b's"},
		{User: "ab", Verifier: "\x00\xff"}, {User: "c", Verifier: "c's"}, {User: "渡辺", Verifier: string(make([]byte, 2000))},
	}})
	b.commit(&store.Batch{Accounts: []store.Account{ // in the order given
		{User: "a", Verifier: "another"}, {User: "b", Removed: true}, {User: "x", Removed: true},
		{User: "c", Removed: true}, {User: "c", Verifier: "came back"}, {User: "d", Verifier: "d's"}, {User: "d", Removed: true},
	}})
	b.same("accounts", []store.Account{
		{User: "a", Verifier: "another"}, {User: "ab", Verifier: "\x00\xff"}, {User: "c", Verifier: "came back"},
		{User: "渡辺", Verifier: string(make([]byte, 2000))},
	}, accounts)
}

func testAttempts(b *bench) {
	attempts := func() any { _, st := b.load(); return st.Attempts }
	const now = 1_700_000_000_000
	b.commit(&store.Batch{Attempts: []store.Attempt{
		{User: "a", Fails: 20, Last: now}, {User: "a", Source: "192.0.2.1/32", Fails: 3, Last: now, Until: now + 60_000, Proven: now - 1},
		{User: "a", Source: "2001:db8::/64", Proven: now}, {User: "b", Source: "192.0.2.1/32", Fails: 1 << 30, Last: -1},
		{User: "not-an-account", Source: "192.0.2.1/32", Fails: 1, Last: now},
	}})
	b.commit(&store.Batch{Attempts: []store.Attempt{
		{User: "a", Fails: 21, Last: now + 1}, {User: "a", Source: "2001:db8::/64", Forget: true}, {User: "b", Forget: true},
		{User: "c", Source: "x", Fails: 1}, {User: "c", Source: "x", Forget: true},
	}})
	b.same("attempts", []store.Attempt{
		{User: "a", Fails: 21, Last: now + 1}, {User: "a", Source: "192.0.2.1/32", Fails: 3, Last: now, Until: now + 60_000, Proven: now - 1},
		{User: "b", Source: "192.0.2.1/32", Fails: 1 << 30, Last: -1}, {User: "not-an-account", Source: "192.0.2.1/32", Fails: 1, Last: now},
	}, attempts)
}

func testSecret(b *bench) {
	secret := func() any { _, st := b.load(); return st.Secret }
	b.commit(&store.Batch{Blocks: []store.Block{{Owner: "a", User: "b"}}})
	b.same("no secret", []byte(nil), secret)
	given := []byte("first")
	b.commit(&store.Batch{Secret: given})
	given[0] = 'F' // what the store was given is not its memory
	b.same("a secret", []byte("first"), secret)
	long := make([]byte, 64)
	for i := range long {
		long[i] = byte(255 - i)
	}
	b.commit(&store.Batch{Secret: long})
	b.commit(&store.Batch{Blocks: []store.Block{{Owner: "a", User: "c"}}})
	b.same("another secret", long, secret)
	if _, st := b.load(); len(st.Blocks) != 2 || len(st.Secret) == 0 {
		b.Fatalf("beside the secret: %+v", st)
	} else if st.Secret[0] = 1; secret().([]byte)[0] != 255 {
		b.Fatal("the store's memory was given away")
	}
}
