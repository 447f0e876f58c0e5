package conformance

import "time"

// A Case is one rule of SPEC.md and how to see whether a program keeps to it.
type Case struct {
	Name    string // unique among the cases of a server, and among those of a client
	Section string // of SPEC.md, such as "4.2"
	Rule    string // what must hold, in a sentence
	Should  bool   // a recommendation: who has a reason may do otherwise
	Slow    bool   // waits for a minute or more

	script string            // see script.go
	away   bool              // of a client that goes away and is called back
	server func(*serverCase) // instead of a script
	client func(*clientCase)
}

// An Account is a user whom the server under test knows, or as whom the client
// under test logs in.
type Account struct{ User, Password string }

// An Outcome says how a case ended.
type Outcome string

// The outcomes. Advised is the failure of a case that only SPEC's SHOULD asks
// for; a strict run counts it as Failed.
const (
	Passed  Outcome = "passed"
	Failed  Outcome = "failed"
	Advised Outcome = "advised"
	Skipped Outcome = "skipped"
)

// A Result is a case that was run.
type Result struct {
	Case       Case
	Outcome    Outcome
	Reason     string   // why it did not pass
	Transcript []string // unless it passed: what was sent and received last
	Time       time.Duration
}

// ServerCases returns the cases for a server, in the order of SPEC.md.
func ServerCases() []Case { return inOrder(serverCases) }

// ClientCases returns the cases for a client, in the order of SPEC.md.
func ClientCases() []Case { return inOrder(clientCases) }
