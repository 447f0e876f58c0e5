package main

import (
	"context"
	"fmt"
	"strings"
)

// scale measures what a message costs the server, from few connections that
// talk in pairs to many, and what a delivery costs, from few receivers of a
// broadcast to many.
func (b *bench) scale(ctx context.Context) error {
	o := b.o
	if err := b.files(max(o.conns, o.receivers[0]+1)); err != nil {
		return err
	}
	p := params{Window: o.window, Size: o.size, Seconds: o.duration.Seconds()}
	points := []scaled{}
	for _, n := range decades(10, o.conns) {
		p.Pairs = n / 2
		points = append(points, scaled{"connections", n, "a message", p, (*bench).pointToPoint})
	}
	p.Pairs = 0
	for _, n := range decades(1, o.receivers[0]) {
		p.Receivers = n
		points = append(points, scaled{"receivers", n, "a delivery", p, (*bench).fanOut})
	}
	var out strings.Builder
	last := ""
	for _, s := range points {
		figs, err := s.run(b, ctx, s.p)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := b.report("scale", 1, s.p, figs, err); err != nil {
			return err
		}
		if err != nil {
			return fmt.Errorf("%d %s: %w", s.n, s.what, err)
		}
		if s.what != last {
			last = s.what
			fmt.Fprintf(&out, "%12s %22s %12s %14s\n", s.what, "server's CPU, µs "+s.unit, "a second", "memory, MiB")
		}
		fmt.Fprintf(&out, "%12s %22s %12s %14s\n", number(float64(s.n)), number(figs.get("server_cpu_s_per_million")), number(figs[0].value), number(figs.get("server_rss_after_mib")))
	}
	if o.json {
		return nil
	}
	_, err := fmt.Fprint(b.stdout, out.String())
	return err
}

// A scaled is one row of the table.
type scaled struct {
	what string
	n    int
	unit string
	p    params
	run  func(*bench, context.Context, params) (figures, error)
}

// decades are the sizes from the first on, each ten times the last, up to the
// most and that included.
func decades(first, most int) []int {
	var all []int
	for n := first; n < most; n *= 10 {
		all = append(all, n)
	}
	return append(all, most)
}

// get returns the figure with this key, 0 if there is none.
func (f figures) get(key string) float64 {
	for _, v := range f {
		if v.key == key {
			return v.value
		}
	}
	return 0
}
