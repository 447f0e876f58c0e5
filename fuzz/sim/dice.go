package sim

import (
	"math"
	"math/rand/v2"
	"time"
)

// A dice is a source of random streams that all follow from one seed. Whoever
// acts in a simulation has a stream of its own, so that what one draws does
// not depend on when another one draws: goroutines that are awake at the same
// instant of virtual time may run in any order.
type dice uint64

// of returns the dice of a thing, named by keys.
func (d dice) of(keys ...uint64) dice {
	x := uint64(d)
	for _, k := range keys {
		x = mix(x ^ mix(k+0x9e3779b97f4a7c15))
	}
	return dice(x)
}

// mix is the finisher of splitmix64.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// stream returns the dice as a generator, for one goroutine.
func (d dice) stream() *roller {
	return &roller{rand.New(rand.NewPCG(uint64(d), mix(uint64(d))))}
}

// unit returns the dice as a number in [0,1).
func (d dice) unit() float64 { return float64(mix(uint64(d))>>11) / (1 << 53) }

// A roller draws for one goroutine.
type roller struct{ *rand.Rand }

// chance is true with probability p.
func (r *roller) chance(p float64) bool { return r.Float64() < p }

// between draws a duration of [lo,hi), to the nanosecond.
func (r *roller) between(lo, hi time.Duration) time.Duration {
	return lo + time.Duration(r.Int64N(int64(max(hi-lo, 1))))
}

// scale draws a duration of [lo,hi), each order of magnitude as likely as any
// other.
func (r *roller) scale(lo, hi time.Duration) time.Duration {
	l, h := math.Log(float64(lo)), math.Log(float64(hi))
	return time.Duration(math.Exp(l + r.Float64()*(h-l)))
}

// pick draws an index with the weight that stands there.
func (r *roller) pick(weights ...float64) int {
	sum := 0.0
	for _, w := range weights {
		sum += w
	}
	x := r.Float64() * sum
	for i, w := range weights {
		if x -= w; x < 0 {
			return i
		}
	}
	return len(weights) - 1
}
