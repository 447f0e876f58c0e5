package model

// A Size says how much is searched.
type Size int

// The sizes. Normal is what a test may cost; the others are for a machine
// that has nothing else to do.
const (
	Short  Size = iota // a second
	Normal             // some seconds
	Large              // minutes, and some gigabytes
	Huge               // an hour, and what memory there is
)

// Searches are the searches of a size: with all rules, everything that may go
// wrong goes wrong in one of them.
func Searches(size Size) []Config {
	switch size {
	case Short:
		return []Config{
			{Name: "chat", Messages: "BB", Faults: Faults{Crashes: 1, Drops: 1, DropsBC: 1, Refusals: 1}},
			{Name: "a failing disk, frames on their way", Messages: "B*", Flight: true, Faults: Faults{Crashes: 1, Failures: 1}},
			{Name: "a lost disk", Messages: "BB", Logins: true, Faults: Faults{Losses: 1, Drops: 1, Refusals: 1}},
			{Name: "who is away is called", Messages: "B", DialBack: true, Faults: Faults{Crashes: 1, DropsBC: 1, Ends: 1}},
		}
	case Large:
		return []Config{
			{Name: "chat", Messages: "BCB", Faults: Faults{Crashes: 1, Drops: 1, DropsBC: 1, Refusals: 1}},
			{Name: "chat, two of each", Messages: "BB", Faults: Faults{Crashes: 2, Drops: 2, DropsBC: 2, Refusals: 2}},
			{Name: "chat, frames on their way", Messages: "BCB", Flight: true, Faults: Faults{Crashes: 1, Drops: 1, Refusals: 1}},
			{Name: "a broadcast first", Messages: "*BC", Offline: true, Faults: Faults{Crashes: 1, Drops: 1, Refusals: 1, Ends: 1}},
			{Name: "a broadcast first, two crashes", Messages: "*C", Offline: true, Faults: Faults{Crashes: 2, Drops: 1, DropsBC: 1, Refusals: 1, Ends: 1}},
			{Name: "a failing disk", Messages: "B*", Flight: true, Faults: Faults{Crashes: 1, Drops: 1, DropsBC: 1, Refusals: 1, Failures: 1}},
			{Name: "programs that die", Messages: "BCB", Faults: Faults{Crashes: 1, Drops: 1, Refusals: 1, CrashesBC: 1}},
			{Name: "windows that leave memory", Messages: "BCB", Faults: Faults{Crashes: 1, Drops: 1, Refusals: 1, PageOuts: 1}},
			{Name: "more numbers than a window holds", Messages: "BBBB", Faults: Faults{Crashes: 1, Drops: 1, Refusals: 1}},
			{Name: "nobody need return", Messages: "*CB", Away: true, Faults: Faults{Crashes: 1, Drops: 1, DropsBC: 1, Refusals: 1}},
			{Name: "two lost disks", Messages: "BBB", Logins: true, Faults: Faults{Losses: 2, Drops: 2, Refusals: 1}},
			{Name: "a lost disk, frames on their way", Messages: "BB", Logins: true, Flight: true, Faults: Faults{Losses: 1, Crashes: 1, Drops: 2, Refusals: 1}},
			{Name: "a forgotten origin", Messages: "BBB", Logins: true, Faults: Faults{Forgotten: 1, Crashes: 1, Drops: 1, Refusals: 1}},
			{Name: "a restored backup", Messages: "CBB", Logins: true, Faults: Faults{Backups: 1, Crashes: 1, Drops: 1, Refusals: 1}},
			{Name: "a client set back", Messages: "BBB", Logins: true, Faults: Faults{Setbacks: 1, Drops: 2, Refusals: 2}},
			{Name: "who is away is called", Messages: "BB", DialBack: true, Faults: Faults{Crashes: 1, Drops: 1, DropsBC: 1, Ends: 1}},
			{Name: "who is away is called, frames on their way", Messages: "BB", DialBack: true, Flight: true, Faults: Faults{Crashes: 1, DropsBC: 1, Ends: 1, CrashesBC: 1}},
			{Name: "who is away is called, a broadcast", Messages: "*BC", DialBack: true, Faults: Faults{Crashes: 1, Ends: 1}},
		}
	case Huge:
		return append(Searches(Large), []Config{
			{Name: "chat, two of each, three messages", Messages: "BBB", Faults: Faults{Crashes: 2, Drops: 2, DropsBC: 1, Refusals: 2}},
			{Name: "a broadcast in the middle", Messages: "C*B", Offline: true, Faults: Faults{Crashes: 1, Drops: 1, DropsBC: 1, Refusals: 1}},
			{Name: "a failing disk, nobody need return", Messages: "*CB", Away: true, Faults: Faults{Crashes: 1, Drops: 1, DropsBC: 1, Refusals: 1, Failures: 1}},
			{Name: "who is away is called, three messages", Messages: "BCB", DialBack: true, Faults: Faults{Crashes: 1, Drops: 1, DropsBC: 1, Ends: 1}},
			{Name: "who is away is called, a broadcast and two drops", Messages: "*BC", DialBack: true, Faults: Faults{Crashes: 1, DropsBC: 2, Ends: 1}},
			{Name: "two lost disks and a crash", Messages: "BBB", Logins: true, Faults: Faults{Losses: 2, Crashes: 1, Drops: 2, Refusals: 1}},
		}...)
	}
	return []Config{
		{Name: "chat", Messages: "BCB", Faults: Faults{Crashes: 1, Drops: 1, Refusals: 1}},
		{Name: "a broadcast first", Messages: "*C", Offline: true, Faults: Faults{Crashes: 1, Drops: 1, Refusals: 1, Ends: 1}},
		{Name: "a failing disk, frames on their way", Messages: "BB", Flight: true, Faults: Faults{Crashes: 1, Drops: 1, DropsBC: 1, Failures: 1}},
		{Name: "a failing disk, a broadcast", Messages: "*B", Faults: Faults{Crashes: 1, Drops: 1, Refusals: 1, Failures: 1}},
		{Name: "programs that die", Messages: "BB", Faults: Faults{Crashes: 1, Restarts: 1, Refusals: 1, CrashesBC: 1}},
		{Name: "windows that leave memory", Messages: "BB", Flight: true, Faults: Faults{Crashes: 1, Drops: 1, Refusals: 1, PageOuts: 1}},
		{Name: "more numbers than a window holds", Messages: "BBBB", Faults: Faults{Drops: 2, Refusals: 1}},
		{Name: "nobody need return", Messages: "*B", Away: true, Faults: Faults{Crashes: 1, DropsBC: 1, Refusals: 1, Failures: 1}},
		{Name: "a lost disk", Messages: "BB", Logins: true, Faults: Faults{Losses: 1, Crashes: 1, Drops: 1, Refusals: 1}},
		{Name: "a lost disk, frames on their way", Messages: "BB", Logins: true, Flight: true, Faults: Faults{Losses: 1, Drops: 1, Refusals: 1}},
		{Name: "a forgotten origin", Messages: "BB", Logins: true, Faults: Faults{Forgotten: 1, Crashes: 1, Drops: 1, Refusals: 1}},
		{Name: "a restored backup", Messages: "CBB", Logins: true, Faults: Faults{Backups: 1, Refusals: 1}},
		{Name: "a client set back", Messages: "BBB", Logins: true, Faults: Faults{Setbacks: 1, Drops: 1, Refusals: 1}},
		{Name: "who is away is called", Messages: "BB", DialBack: true, Faults: Faults{Crashes: 1, DropsBC: 1, Ends: 1}},
		{Name: "who is away is called, a broadcast", Messages: "*B", DialBack: true, Flight: true, Faults: Faults{DropsBC: 1, Ends: 1}},
	}
}
