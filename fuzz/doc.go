// Package fuzz holds the fuzz targets of the module, one for each property
// that must hold for every input. Run one with
//
//	go test -fuzz '^FuzzCuts$' -fuzztime 60s ./fuzz
//
// Seeds, and every input that ever broke a property, are under testdata/fuzz
// and run with the ordinary tests.
//
//   - FuzzReference: the parser agrees with the slow one of [Reference], also
//     on the octet and the cause of an error.
//   - FuzzRoundTrip: a decoded frame, encoded and decoded again, is the same.
//   - FuzzCanonical: a frame has one encoding; what can be decoded can be
//     encoded, what is encoded can be decoded, and nothing else can be.
//   - FuzzCuts: a stream gives the same frames and errors however it is cut
//     into reads.
//   - FuzzMachine: whatever is done to a machine, phases only grow, and a
//     reply is taken only when it is due.
//   - FuzzCrossing: two ends that keep to the tables never accuse each other,
//     and agree when nothing is under way.
//   - FuzzOpening: whatever a connection begins with, a server answers lines
//     in frames and TLS in TLS, ends it in time, and serves others.
//   - FuzzDialBack: on a connection that the server made it says nothing but
//     TLS, and lets nobody in but the client that it called.
//   - FuzzConsent, FuzzWindow: the tables and the bitmap do what a slow
//     restatement of the rules does.
//   - FuzzClientScram: a client gives a proof of its password only for a proper
//     challenge, and is logged in only by who knows the account.
//   - FuzzDisplay: what is shown on a screen is never obeyed by it.
//
// The tests are in this package itself, not in fuzz_test: an external test
// package would not see the coverage of parser code that the compiler put
// inline, and the fuzzer is guided by that.
package fuzz
