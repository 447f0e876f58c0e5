package sim

import "time"

// Faults is a set of kinds of faults.
type Faults uint32

// The kinds of faults, and of behaviour that is hard on the rest.
const (
	Cuts       Faults = 1 << iota // connections break, and an end or both see it
	HalfOpen                      // connections fall silent, and nobody is told
	Partitions                    // a host, or all, cannot reach the server for a time
	SlowPaths                     // connections with a latency of seconds, which newer ones overtake
	SlowReader                    // small windows, little bandwidth
	Crashes                       // the server crashes and what was not committed is gone
	Shutdowns                     // it is shut down, and started again
	Commits                       // commits fail, written or not; or take seconds
	Reads                         // reading the store fails
	Callbacks                     // applications refuse messages at first, or are slow
	Restarts                      // programs end and start again, with nothing remembered
	Blocks                        // users block each other
	Refusals                      // the operator's hook refuses messages at random
	Quotas                        // mailboxes are small
	Days                          // users are away for days
	DialBack                      // some clients go away, and the server calls them
	AllFaults  = 1<<iota - 1
)

type netPlan struct {
	doom, refuse, far, slow float64
	cuts, halfOpen          bool
	near                    bool // latencies so small that live chat is acknowledged before it is stored
}

// breakage draws how a connection breaks.
func (p *netPlan) breakage(r *roller) breakage {
	w := [breakages]float64{}
	for k := range breakages {
		if k <= cutServer && p.cuts || k > cutServer && p.halfOpen {
			w[k] = 1
		}
	}
	return breakage(r.pick(w[:]...))
}

type storePlan struct {
	not, though, stall, crash, unreadable float64
}

// A plan is what a seed draws first: which faults there are at all, and how
// often. Each seed leaves some out, for what a fault would show another one
// may hide.
type plan struct {
	faults  Faults
	users   int
	length  time.Duration
	away    time.Duration // the longest time between two programs of a user
	budget  int           // messages a user
	timeout time.Duration
	mailbox int
	net     netPlan
	store   storePlan
	every   time.Duration // between faults of the driver, on average
	refuse  float64
	soon    float64 // how often the server crashes soon after it accepted, or delivered, a message
	fails   float64 // how often a callback fails
	slow    float64 // how often it is slow
}

// draw makes the plan of a seed. What o gives stays so.
func draw(r *roller, o *Options) *plan {
	p := &plan{users: 2 + r.IntN(4), budget: int(r.scale(10, 250))}
	for f := Faults(1); f < DialBack; f <<= 1 { // which newWorld draws
		if r.chance(0.55) && (f != Days || r.chance(0.1)) {
			p.faults |= f
		}
	}
	switch r.pick(5, 3, 1) {
	case 0:
		p.length = r.scale(2*time.Minute, time.Hour)
	case 1:
		p.length = r.scale(time.Hour, 8*time.Hour)
	case 2:
		p.length = r.scale(8*time.Hour, 24*time.Hour)
	}
	if o.Users > 0 {
		p.users = o.Users
	}
	if o.Faults != 0 {
		p.faults = o.Faults
	}
	if p.faults&Days != 0 {
		p.length = r.between(24*time.Hour, 12*24*time.Hour)
	}
	if o.Length > 0 {
		p.length = o.Length
	}
	p.away = min(p.length/2, 12*time.Hour)
	if p.faults&Days != 0 {
		p.away = p.length / 2
	}
	p.rates(r)
	return p
}

// rates draws how often what happens.
func (p *plan) rates(r *roller) {
	rate := func(f Faults, lo, hi time.Duration) float64 {
		x := r.scale(lo, hi).Seconds()
		if p.faults&f == 0 {
			return 0
		}
		return x
	}
	const u = time.Second // a rate of 1
	p.net.doom = rate(Cuts|HalfOpen, u/20, u)
	p.net.cuts, p.net.halfOpen = p.faults&Cuts != 0, p.faults&HalfOpen != 0
	p.net.near = r.chance(0.5)
	p.net.refuse = rate(Cuts, u/100, u/3)
	p.net.far = rate(SlowPaths, u/20, u/2)
	p.net.slow = rate(SlowReader, u/20, u/2)
	p.store.not = rate(Commits, u/500, u/5)
	p.store.though = rate(Commits, u/500, u/5)
	p.store.stall = rate(Commits, u/500, u/20)
	p.store.crash = rate(Crashes, u/1000, u/20)
	p.store.unreadable = rate(Reads, u/50, u/2)
	p.soon = rate(Crashes, u/1000, u/30)
	p.refuse = rate(Refusals, u/50, u/2)
	p.fails = rate(Callbacks, u/50, u/3)
	p.slow = rate(Callbacks, u/100, u/10)
	p.every = r.scale(p.length/300, p.length/5)
	if p.timeout = 45 * time.Second; r.chance(0.3) {
		p.timeout = r.scale(5*time.Second, 3*time.Minute)
	}
	if quota := int(r.scale(4, 100)); p.faults&Quotas != 0 {
		p.mailbox = quota
	}
}
