package chatserver

import "context"

// Accounts says who may log in. The server calls it from many goroutines at
// once. An error is the store's behind it, not a refusal: the client is told
// to try later, and nothing is counted against it. It must not call back into
// the server, which may hold a lock of the user's meanwhile.
type Accounts interface {
	// Exists reports whether there is an account of this name.
	Exists(ctx context.Context, user string) (bool, error)
	// CheckPassword reports whether this is the account's password. For a
	// name without an account it takes as long as for one with, and reports
	// false.
	CheckPassword(ctx context.Context, user, password string) (bool, error)
}

// Verifiers is an [Accounts] that can also give what SCRAM needs (SPEC section
// 9.2). A server whose Accounts is one offers SCRAM; with another it takes
// passwords only, and only over TLS or from its own machine.
type Verifiers interface {
	Accounts
	// Verifier returns what verifies the account's password. It must not be
	// changed afterwards. For a name without an account it takes as long as
	// for one with, and returns nil, or a Verifier without keys: the server
	// then acts as if there were one, with [DefaultIterations] or the
	// Iterations given. Those should be the same for all names, or they tell
	// which exist.
	Verifier(ctx context.Context, user string) (*Verifier, error)
}
