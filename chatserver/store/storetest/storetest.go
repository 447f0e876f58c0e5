// Package storetest is the suite that every [store.Store] passes.
//
// A store's test calls [Run] with two functions: open makes an empty store,
// and reopen ends a store as a server's end does and opens what it left. A
// third party's store needs no more than
//
//	func TestStore(t *testing.T) { storetest.Run(t, open, reopen) }
package storetest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/parleyproto/parley/chatproto"
	"github.com/parleyproto/parley/chatserver/store"
)

// Open makes an empty store. The suite closes it.
type Open func(t testing.TB) store.Store

// Reopen closes old and returns a store with what old had stored.
type Reopen func(t testing.TB, old store.Store) store.Store

// Run checks that the stores which open returns keep the contract of
// [store.Store].
func Run(t *testing.T, open Open, reopen Reopen) {
	for _, c := range []struct {
		name string
		run  func(*bench)
	}{
		{"empty", testEmpty},
		{"messages come back whole", testMessages},
		{"load tells what waits, in order of arrival", testLoad},
		{"load ends with the caller's error", testLoadError},
		{"acknowledgements", testAcks},
		{"acknowledged in the batch that brings it", testAckInBatch},
		{"the same batch again changes nothing", testAgain},
		{"last seq never goes back", testLastSeq},
		{"origins", testOrigins},
		{"blocks", testBlocks},
		{"sessions", testSessions},
		{"accounts", testAccounts},
		{"attempts", testAttempts},
		{"the secret", testSecret},
		{"a batch is seen whole", testWhole},
		{"large", testLarge},
		{"close", testClose},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := &bench{T: t, reopenStore: reopen, s: open(t)}
			defer func() { b.s.Close() }()
			c.run(b)
		})
	}
	t.Run("as the model", func(t *testing.T) { testModel(t, open, reopen) })
}

// A bench is a store under test.
type bench struct {
	*testing.T
	reopenStore Reopen
	s           store.Store
}

func (b *bench) commit(batch *store.Batch) {
	b.Helper()
	if err := b.s.Commit(context.Background(), batch); err != nil {
		b.Fatalf("Commit: %v", err)
	}
}

func (b *bench) reopen() {
	b.Helper()
	b.s = b.reopenStore(b, b.s)
}

// load returns what Load gives, the messages without what it may leave out.
func (b *bench) load() ([]*store.Message, *store.State) {
	b.Helper()
	ms, st, err := load(b.s)
	if err != nil {
		b.Fatalf("Load: %v", err)
	}
	return ms, st
}

func (b *bench) messages(seqs ...uint64) []*store.Message {
	b.Helper()
	ms, err := b.s.Messages(context.Background(), seqs)
	if err != nil {
		b.Fatalf("Messages: %v", err)
	}
	return ms
}

// same compares now, and again after the store was reopened.
func (b *bench) same(what string, want any, get func() any) {
	b.Helper()
	if d := cmp.Diff(want, get(), options); d != "" {
		b.Fatalf("%s (-want +got):\n%s", what, d)
	}
	b.reopen()
	if d := cmp.Diff(want, get(), options); d != "" {
		b.Fatalf("%s, after the store was reopened (-want +got):\n%s", what, d)
	}
}

// options compare windows by all they hold, and no bytes with nil bytes as
// equal.
var options = cmp.Options{
	cmp.Comparer(func(a, b chatproto.Window) bool { return a == b }),
	cmp.Comparer(func(a, b []byte) bool { return string(a) == string(b) }),
}

func load(s store.Store) (ms []*store.Message, st *store.State, err error) {
	st, err = s.Load(context.Background(), func(m *store.Message) error {
		ms = append(ms, &store.Message{Seq: m.Seq, From: m.From, Cast: m.Cast, Size: m.Size, Audience: slices.Clone(m.Audience)})
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	sortState(st)
	return ms, st, nil
}

// sortState brings the parts of a state, which have no order, into one.
func sortState(st *store.State) {
	slices.SortFunc(st.Origins, func(a, b store.Origin) int { return cmpPair(a.User, b.User, a.Origin, b.Origin) })
	slices.SortFunc(st.Blocks, func(a, b store.Block) int { return cmpPair(a.Owner, b.Owner, a.User, b.User) })
	slices.SortFunc(st.Sessions, func(a, b store.Session) int { return cmpPair(a.User, b.User, a.Origin, b.Origin) })
	slices.SortFunc(st.Accounts, func(a, b store.Account) int { return strings.Compare(a.User, b.User) })
	slices.SortFunc(st.Attempts, func(a, b store.Attempt) int { return cmpPair(a.User, b.User, a.Source, b.Source) })
}

func message(seq uint64, from string, text string, audience ...string) *store.Message {
	return &store.Message{
		Seq: seq, From: from, ID: chatproto.ID{Origin: 0xfedcba9876543210, N: seq}, Time: 1_700_000_000_000 + int64(seq),
		Text: []byte(text), Size: len(text), Cast: len(audience) > 1, Audience: audience,
	}
}

func testEmpty(b *bench) {
	b.same("an empty store", &store.State{}, func() any {
		ms, st := b.load()
		if len(ms) > 0 {
			b.Fatalf("an empty store has %d messages", len(ms))
		}
		return st
	})
	b.commit(&store.Batch{})
	if got := b.messages(1, 2); got[0] != nil || got[1] != nil {
		b.Fatalf("messages that never were: %v", got)
	}
	if got := b.messages(); len(got) != 0 {
		b.Fatalf("no messages asked for: %v", got)
	}
}

func testMessages(b *bench) {
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	want := []*store.Message{
		message(1, "alice", "hello", "bob"),
		message(2, "bob", "", "alice"),
		message(3, "carol", string(every), "alice", "bob", "dave"),
		message(5, "Ünïcödé", "ä\x00ö", "渡辺"),
		{Seq: 1 << 40, From: "z", ID: chatproto.ID{Origin: 1, N: 1<<64 - 1}, Time: -1, Text: []byte("x"), Size: 1, Audience: []string{"y"}},
		{Seq: 1<<40 + 1, From: "z", ID: chatproto.ID{Origin: 1<<64 - 1, N: 1}, Cast: true, Text: []byte("to one"), Size: 6, Audience: []string{"y"}},
	}
	batch := &store.Batch{}
	for _, m := range want {
		c := *m
		c.Size = 0 // the store counts it
		c.Text, c.Audience = slices.Clone(m.Text), slices.Clone(m.Audience)
		batch.Messages = append(batch.Messages, &c)
	}
	b.commit(batch)
	seqs := []uint64{1 << 40, 1, 3, 4, 2, 5, 3, 1<<40 + 1}
	b.same("messages", []*store.Message{want[4], want[0], want[2], nil, want[1], want[3], want[2], want[5]},
		func() any { return b.messages(seqs...) })
	batch.Messages[0].Text[0] = 'J' // what the store was given is not its memory
	batch.Messages[2].Audience[0] = "mallory"
	if got := b.messages(1)[0]; string(got.Text) != "hello" {
		b.Fatalf("the text changed with the caller's memory: %q", got.Text)
	}
	got := b.messages(3)[0]
	got.Text[0], got.Audience[1] = 'J', "mallory"
	if d := cmp.Diff([]*store.Message{want[2]}, b.messages(3), options); d != "" {
		b.Fatalf("the store's memory was given away (-want +got):\n%s", d)
	}
}

func testLoad(b *bench) {
	// The order of arrival is that of Seq, whatever batch brought it.
	b.commit(&store.Batch{Messages: []*store.Message{message(4, "a", "four", "x"), message(2, "b", "second", "y", "x")}})
	b.commit(&store.Batch{Messages: []*store.Message{message(1, "a", "1", "y"), message(3, "c", "", "x")}})
	b.commit(&store.Batch{Messages: []*store.Message{{Seq: 5, From: "c", Text: []byte("for nobody")}}})
	want := []*store.Message{
		{Seq: 1, From: "a", Size: 1, Audience: []string{"y"}},
		{Seq: 2, From: "b", Size: 6, Cast: true, Audience: []string{"y", "x"}},
		{Seq: 3, From: "c", Audience: []string{"x"}},
		{Seq: 4, From: "a", Size: 4, Audience: []string{"x"}},
	}
	b.same("what waits", want, func() any {
		ms, st := b.load()
		if st.LastSeq != 5 {
			b.Fatalf("LastSeq %d, want 5", st.LastSeq)
		}
		return ms
	})
}

func testLoadError(b *bench) {
	b.commit(&store.Batch{Messages: []*store.Message{message(1, "a", "1", "y"), message(2, "a", "2", "y")}})
	enough := errors.New("enough")
	calls := 0
	_, err := b.s.Load(context.Background(), func(*store.Message) error { calls++; return enough })
	if !errors.Is(err, enough) || calls != 1 {
		b.Fatalf("Load returned %v after %d calls", err, calls)
	}
	if ms, _ := b.load(); len(ms) != 2 {
		b.Fatalf("%d messages after a Load that was ended", len(ms))
	}
}

func testAcks(b *bench) {
	b.commit(&store.Batch{Messages: []*store.Message{
		message(1, "a", "1", "x"), message(2, "a", "2", "x", "y", "z"), message(3, "a", "3", "x", "y"), message(4, "a", "4", "y"),
		message(5, "a", "5", "x"), message(6, "a", "6", "x"),
	}})
	b.commit(&store.Batch{Acks: []store.Ack{
		{Seq: 1, User: "x"},                      // the last of its audience: deleted
		{Seq: 2, User: "y"}, {Seq: 2, User: "w"}, // one leaves; w was never in it
		{Seq: 3},                               // deleted, whoever waits
		{Seq: 4, User: "x"},                    // not for x
		{Seq: 5}, {Seq: 5}, {Seq: 6}, {Seq: 7}, // deleting what is not there is no error
	}})
	want := []*store.Message{message(2, "a", "2", "x", "z"), message(4, "a", "4", "y")}
	b.same("after acknowledgements", want, func() any {
		got := b.messages(1, 2, 3, 4, 5, 6)
		if ms, _ := b.load(); len(ms) != 2 {
			b.Fatalf("Load tells of %d messages, want 2", len(ms))
		}
		return slices.DeleteFunc(got, func(m *store.Message) bool { return m == nil })
	})
	b.commit(&store.Batch{Acks: []store.Ack{{Seq: 2, User: "x"}, {Seq: 2, User: "z"}, {Seq: 4, User: "y"}}})
	if ms, st := b.load(); len(ms) != 0 || st.LastSeq != 6 {
		b.Fatalf("everything was acknowledged: %d messages, LastSeq %d", len(ms), st.LastSeq)
	}
}

func testAckInBatch(b *bench) {
	b.commit(&store.Batch{
		Messages: []*store.Message{message(1, "a", "1", "x"), message(2, "a", "2", "x", "y"), message(3, "a", "3", "x")},
		Acks:     []store.Ack{{Seq: 1}, {Seq: 2, User: "x"}},
	})
	b.same("messages", []*store.Message{nil, message2("y"), message(3, "a", "3", "x")}, func() any { return b.messages(1, 2, 3) })
}

func message2(audience ...string) *store.Message {
	m := message(2, "a", "2", audience...)
	m.Cast = true
	return m
}

func testAgain(b *bench) {
	var w chatproto.Window
	w.Decide(1, true)
	first := &store.Batch{Messages: []*store.Message{message(1, "a", "1", "x"), message(2, "a", "2", "x", "y")}}
	second := &store.Batch{
		Messages: []*store.Message{message(3, "a", "3", "x", "y"), message(4, "a", "4", "x")},
		Acks:     []store.Ack{{Seq: 1}, {Seq: 2, User: "x"}, {Seq: 3, User: "y"}},
		Origins:  []store.Origin{{User: "a", Origin: 7, Window: w, Used: 1}, {User: "a", Origin: 8, Forget: true}},
		Blocks:   []store.Block{{Owner: "x", User: "a"}, {Owner: "y", User: "a", Off: true}},
		Sessions: []store.Session{{User: "a", Origin: 7}, {User: "b", Origin: 9, Ended: true}},
		Accounts: []store.Account{{User: "a", Verifier: "v"}, {User: "b", Removed: true}},
		Attempts: []store.Attempt{{User: "a", Source: "s", Fails: 1}, {User: "a", Forget: true}},
		Secret:   []byte("secret"),
	}
	b.commit(first)
	b.commit(second)
	wantMessages, wantState := b.load()
	b.commit(second)
	b.same("the state", wantState, func() any {
		ms, st := b.load()
		if d := cmp.Diff(wantMessages, ms, options); d != "" {
			b.Fatalf("messages (-want +got):\n%s", d)
		}
		return st
	})
	// Written again in a later batch, a message has the audience left then.
	b.commit(&store.Batch{Messages: []*store.Message{message(5, "a", "5", "x", "y")}})
	b.commit(&store.Batch{Messages: []*store.Message{message(5, "a", "5", "y")}})
	if got := b.messages(5)[0]; got == nil || !slices.Equal(got.Audience, []string{"y"}) {
		b.Fatalf("a message written again: %+v", got)
	}
}

func testLastSeq(b *bench) {
	last := func(want uint64) {
		b.Helper()
		b.same("LastSeq", want, func() any { _, st := b.load(); return st.LastSeq })
	}
	b.commit(&store.Batch{Messages: []*store.Message{message(7, "a", "7", "x"), message(9, "a", "9", "x")}})
	last(9)
	b.commit(&store.Batch{Acks: []store.Ack{{Seq: 9}}})
	last(9)
	b.commit(&store.Batch{Messages: []*store.Message{message(8, "a", "8", "x")}})
	last(9)
	b.commit(&store.Batch{Acks: []store.Ack{{Seq: 7}, {Seq: 8, User: "x"}}})
	last(9)
	b.commit(&store.Batch{Messages: []*store.Message{message(12, "a", "12", "x")}, Acks: []store.Ack{{Seq: 12}}})
	last(12)
}

// testWhole reads beside the commits: of each batch all is seen, or nothing.
func testWhole(b *bench) {
	const batches, size = 40, 30
	var wg sync.WaitGroup
	stop := make(chan struct{})
	wg.Go(func() {
		seqs := make([]uint64, size)
		for i := uint64(0); ; i = (i + 1) % batches {
			select {
			case <-stop:
				return
			default:
			}
			for j := range seqs {
				seqs[j] = i*size + uint64(j) + 1
			}
			ms, err := b.s.Messages(context.Background(), seqs)
			if err != nil {
				b.Errorf("Messages beside Commit: %v", err)
				return
			}
			for _, m := range ms {
				if (m == nil) != (ms[0] == nil) {
					b.Errorf("of batch %d only a part is seen", i)
					return
				}
			}
		}
	})
	for i := range uint64(batches) {
		batch := &store.Batch{}
		for j := range uint64(size) {
			batch.Messages = append(batch.Messages, message(i*size+j+1, "a", "text", "x"))
			if i > 0 {
				batch.Acks = append(batch.Acks, store.Ack{Seq: (i-1)*size + j + 1})
			}
		}
		b.commit(batch)
	}
	close(stop)
	wg.Wait()
	if ms, _ := b.load(); len(ms) != size {
		b.Fatalf("%d messages are left, want %d", len(ms), size)
	}
}

// testLarge writes more than fits into one statement, page or buffer.
func testLarge(b *bench) {
	const many = 3000
	everybody := make([]string, many)
	batch := &store.Batch{}
	for i := range everybody {
		everybody[i] = "user-" + string(rune('a'+i%26)) + string(rune(0x4e00+i))
		batch.Messages = append(batch.Messages, message(uint64(i+1), everybody[i], "text", "x"))
		batch.Origins = append(batch.Origins, store.Origin{User: everybody[i], Origin: uint64(i)})
		batch.Sessions = append(batch.Sessions, store.Session{User: everybody[i], Origin: uint64(i)})
		batch.Blocks = append(batch.Blocks, store.Block{Owner: everybody[i], User: "x"})
		batch.Accounts = append(batch.Accounts, store.Account{User: everybody[i], Verifier: "v"})
		batch.Attempts = append(batch.Attempts, store.Attempt{User: everybody[i], Source: "s", Fails: i})
	}
	cast := message(many+1, "a", string(make([]byte, 64<<10)), everybody...)
	batch.Messages = append(batch.Messages, cast)
	b.commit(batch)
	b.same("a broadcast to many", []*store.Message{cast}, func() any { return b.messages(many + 1) })
	ms, st := b.load()
	if len(ms) != many+1 || len(st.Origins) != many || len(st.Sessions) != many || len(st.Blocks) != many ||
		len(st.Accounts) != many || len(st.Attempts) != many {
		b.Fatalf("%d messages, %d origins, %d sessions, %d blocks, %d accounts, %d attempts",
			len(ms), len(st.Origins), len(st.Sessions), len(st.Blocks), len(st.Accounts), len(st.Attempts))
	}
	acks := &store.Batch{}
	for i := range uint64(many) {
		if i%5 != 0 {
			acks.Acks = append(acks.Acks, store.Ack{Seq: i + 1})
		}
		if i != 7 {
			acks.Acks = append(acks.Acks, store.Ack{Seq: many + 1, User: everybody[i]})
		}
	}
	b.commit(acks)
	cast = message(many+1, "a", string(make([]byte, 64<<10)), everybody[7])
	cast.Cast = true
	b.same("a broadcast that many acknowledged", []*store.Message{cast}, func() any { return b.messages(many + 1) })
	if ms, _ := b.load(); len(ms) != many/5+1 {
		b.Fatalf("%d messages are left, want %d", len(ms), many/5+1)
	}
}

func testClose(b *bench) {
	b.commit(&store.Batch{Messages: []*store.Message{message(1, "a", "1", "x")}})
	if err := b.s.Close(); err != nil {
		b.Fatalf("Close: %v", err)
	}
	if err := b.s.Commit(context.Background(), &store.Batch{Acks: []store.Ack{{Seq: 1}}}); err == nil {
		b.Error("a closed store commits")
	}
	if _, err := b.s.Messages(context.Background(), []uint64{1}); err == nil {
		b.Error("a closed store reads messages")
	}
	if _, err := b.s.Load(context.Background(), func(*store.Message) error { return nil }); err == nil {
		b.Error("a closed store loads")
	}
}
