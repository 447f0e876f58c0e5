package jsonl_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/parleyproto/parley/chatproto"
	"github.com/parleyproto/parley/chatserver/store"
	"github.com/parleyproto/parley/chatserver/store/jsonl"
	"github.com/parleyproto/parley/chatserver/store/memstore"
)

func filled(t *testing.T) *memstore.Store {
	var w chatproto.Window
	w.Decide(7, true)
	w.Decide(9, false)
	st := memstore.New()
	if err := st.Commit(t.Context(), &store.Batch{
		Messages: []*store.Message{
			{Seq: 3, From: "A", ID: chatproto.ID{Origin: 0xa1, N: 7}, Time: 1, Text: []byte("two\nlines <&> \U0001F600"), Audience: []string{"B"}},
			{Seq: 4, From: "ü", ID: chatproto.ID{Origin: 0xffffffffffffffff, N: 1}, Time: 2, Cast: true, Audience: []string{"A", "B"}},
		},
		Origins:  []store.Origin{{User: "A", Origin: 0xa1, Window: w, Used: 5}},
		Blocks:   []store.Block{{Owner: "A", User: "C"}},
		Sessions: []store.Session{{User: "A", Origin: 0xa1}},
	}); err != nil {
		t.Fatal(err)
	}
	return st
}

func export(t *testing.T, st store.Store) string {
	t.Helper()
	var b bytes.Buffer
	if missing, err := jsonl.Export(t.Context(), st, &b); err != nil || missing != 0 {
		t.Fatal(missing, err)
	}
	return b.String()
}

// The format stands as it is: other programs read it.
func TestExport(t *testing.T) {
	want := `{"head":{"format":"parley-store","version":1}}
{"message":{"seq":3,"from":"A","id":"a1.7","t":1,"text":"two\nlines <&> 😀","audience":["B"]}}
{"message":{"seq":4,"from":"ü","id":"ffffffffffffffff.1","t":2,"broadcast":true,"text":"","audience":["A","B"]}}
{"origin":{"user":"A","origin":"a1","window":"AAAAAAAAAAkAAAAAAAAAgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==","used":5}}
{"block":{"owner":"A","user":"C"}}
{"session":{"user":"A","origin":"a1"}}
{"end":{"lines":6}}
`
	if diff := cmp.Diff(want, export(t, filled(t))); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// What was exported and imported is exported as before.
func TestRoundTrip(t *testing.T) {
	first := export(t, filled(t))
	st := memstore.New()
	if err := jsonl.Import(t.Context(), st, strings.NewReader(first)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(first, export(t, st)); diff != "" {
		t.Errorf("(-first +second)\n%s", diff)
	}
	if err := jsonl.Import(t.Context(), st, strings.NewReader(first)); !errors.Is(err, jsonl.ErrNotEmpty) {
		t.Errorf("importing a second time: %v", err)
	}
}

// A bad file is refused with the line named, and nothing of it is written.
func TestImportRefuses(t *testing.T) {
	good := export(t, filled(t))
	for _, tt := range []struct{ why, file, want string }{
		{"nothing", "", "line 1: the end is missing"},
		{"cut off", good[:strings.Index(good, `{"end"`)], "line 7: the end is missing"},
		{"a line is gone", strings.Replace(good, `{"block":{"owner":"A","user":"C"}}`+"\n", "", 1), "line 6: the end counts 6 lines, and there are 5"},
		{"no head", `{"end":{"lines":0}}`, "line 1: the first line"},
		{"another version", `{"head":{"format":"parley-store","version":2}}`, `line 1: the format is "parley-store" version 2`},
		{"a control character", strings.Replace(good, `two\n`, `\u001b`, 1), "line 2: a message needs"},
		{"a short window", strings.Replace(good, "AAAAAAAAAAk", "", 1), "line 4: "},
		{"no JSON", good[:60] + "oops", "line 2: "},
		{"unknown", strings.Replace(good, `"block"`, `"blocks"`, 1), "line 5: "},
	} {
		t.Run(tt.why, func(t *testing.T) {
			st := memstore.New()
			err := jsonl.Import(context.Background(), st, strings.NewReader(tt.file))
			if err == nil || !strings.HasPrefix(err.Error(), tt.want) {
				t.Errorf("error %v, want %s…", err, tt.want)
			}
			if got := strings.Count(export(t, st), "\n"); got != 2 {
				t.Errorf("%d lines were written", got-2)
			}
		})
	}
}
