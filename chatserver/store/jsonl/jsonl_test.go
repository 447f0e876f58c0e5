package jsonl_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/parleyproto/parley/chatproto"
	"github.com/parleyproto/parley/chatserver/store"
	"github.com/parleyproto/parley/chatserver/store/jsonl"
	"github.com/parleyproto/parley/chatserver/store/memstore"
)

// secret is as long as one may be.
var secret = bytes.Repeat([]byte("key!"), 16)

var secret64 = base64.StdEncoding.EncodeToString(secret)

func filled(t *testing.T) *memstore.Store {
	var w chatproto.Window
	w.Decide(7, true)
	w.Decide(9, false)
	st := memstore.New()
	if err := st.Commit(t.Context(), &store.Batch{
		Messages: []*store.Message{
			{Seq: 3, From: "A", ID: chatproto.ID{Origin: 0xa1, N: 7}, Time: 1, Text: []byte("two\nlines <&> \U0001F600"), Audience: []string{"B"}},
			{Seq: 4, From: "ü", ID: chatproto.ID{Origin: 0xffffffffffffffff, N: 1}, Time: 2, Cast: true, Audience: []string{"A", "B"}},
			{Seq: 7, From: "A", Text: []byte("for nobody")},
		},
		Origins:  []store.Origin{{User: "A", Origin: 0xa1, Window: w, Used: 5}},
		Blocks:   []store.Block{{Owner: "A", User: "C"}},
		Sessions: []store.Session{{User: "A", Origin: 0xa1}},
		Accounts: []store.Account{{User: "A", Verifier: "SCRAM-SHA-256$1:c2FsdA==$AA==:AA=="}},
		Attempts: []store.Attempt{{User: "A", Source: "192.0.2.1/32", Fails: 3, Last: 7, Until: 8, Proven: 6}},
		Secret:   secret,
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
	want := `{"head":{"format":"parley-store","version":2,"last":7}}
{"message":{"seq":3,"from":"A","id":"a1.7","t":1,"text":"two\nlines <&> 😀","audience":["B"]}}
{"message":{"seq":4,"from":"ü","id":"ffffffffffffffff.1","t":2,"broadcast":true,"text":"","audience":["A","B"]}}
{"origin":{"user":"A","origin":"a1","window":"AAAAAAAAAAkAAAAAAAAAgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==","used":5}}
{"block":{"owner":"A","user":"C"}}
{"session":{"user":"A","origin":"a1"}}
{"account":{"user":"A","verifier":"SCRAM-SHA-256$1:c2FsdA==$AA==:AA=="}}
{"attempt":{"user":"A","source":"192.0.2.1/32","fails":3,"last":7,"until":8,"proven":6}}
{"secret":"` + secret64 + `"}
{"end":{"lines":9}}
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

// A secret of a server that has not served yet is replaced; the first version
// of the format has neither it nor the last Seq.
func TestImportVersion1(t *testing.T) {
	st := memstore.New()
	if err := st.Commit(t.Context(), &store.Batch{Secret: []byte("replaced")}); err != nil {
		t.Fatal(err)
	}
	var v1 []string
	for line := range strings.Lines(export(t, filled(t))) {
		if !strings.Contains(line, `{"account"`) && !strings.Contains(line, `{"attempt"`) && !strings.Contains(line, `{"secret"`) {
			v1 = append(v1, strings.NewReplacer(`"version":2,"last":7`, `"version":1`, `"lines":9`, `"lines":6`).Replace(line))
		}
	}
	if err := jsonl.Import(t.Context(), st, strings.NewReader(strings.Join(v1, ""))); err != nil {
		t.Fatal(err)
	}
	state, err := st.Load(t.Context(), func(*store.Message) error { return nil })
	if err != nil || state.LastSeq != 4 || len(state.Sessions) != 1 || string(state.Secret) != "replaced" {
		t.Errorf("%+v, %v", state, err)
	}
	st = memstore.New()
	if err := st.Commit(t.Context(), &store.Batch{Secret: []byte("replaced")}); err != nil {
		t.Fatal(err)
	}
	if err := jsonl.Import(t.Context(), st, strings.NewReader(export(t, filled(t)))); err != nil {
		t.Fatal(err)
	}
	if state, err := st.Load(t.Context(), func(*store.Message) error { return nil }); err != nil || !bytes.Equal(state.Secret, secret) || state.LastSeq != 7 {
		t.Errorf("%+v, %v", state, err)
	}
}

// A bad file is refused with the line named, and nothing of it is written.
func TestImportRefuses(t *testing.T) {
	good := export(t, filled(t))
	for _, tt := range []struct{ why, file, want string }{
		{"nothing", "", "line 1: the end is missing"},
		{"cut off", good[:strings.Index(good, `{"end"`)], "line 10: the end is missing"},
		{"a line is gone", strings.Replace(good, `{"block":{"owner":"A","user":"C"}}`+"\n", "", 1), "line 9: the end counts 9 lines, and there are 8"},
		{"no head", `{"end":{"lines":0}}`, "line 1: the first line"},
		{"another version", `{"head":{"format":"parley-store","version":3}}`, `line 1: the format is "parley-store" version 3`},
		{"a control character", strings.Replace(good, `two\n`, `\u001b`, 1), "line 2: a message needs"},
		{"a short window", strings.Replace(good, "AAAAAAAAAAk", "", 1), "line 4: "},
		{"no verifier", strings.Replace(good, `"verifier":"SCRAM`, `"verifier":"","x":"SCRAM`, 1), "line 7: "},
		{"no user", strings.Replace(good, `{"account":{"user":"A"`, `{"account":{"user":""`, 1), "line 7: an account needs"},
		{"negative", strings.Replace(good, `"fails":3`, `"fails":-3`, 1), "line 8: an attempt needs"},
		{"a long secret", strings.Replace(good, secret64, base64.StdEncoding.EncodeToString(make([]byte, 65)), 1), "line 9: there is one secret"},
		{"two secrets", strings.Replace(good, `{"secret":"`, `{"secret":"AAAA"}{"secret":"`, 1), "line 10: there is one secret"},
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
