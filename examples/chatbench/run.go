package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/xdg-go/scram"
)

// spinning is the argument by which chatbench starts itself, see keepAwake.
const spinning = "spin"

// A bench is one call of chatbench.
type bench struct {
	o      *options
	tls    *tls.Config // nil: cleartext
	stdout io.Writer
	stderr io.Writer

	beat    atomic.Int64 // the shortest heartbeat that the server asked for, in nanoseconds
	spinner atomic.Int64 // the process that keeps the processors awake, 0 if there is none

	mu   sync.Mutex
	keys map[string]*scram.Client // by user: they keep what they derived
}

// commands are what chatbench does, by its first argument.
var commands = map[string]struct{ usage, what string }{
	"":          {"chatbench [flags]", ""},
	"accounts":  {"chatbench accounts [-password PASSWORD] [-scram] N", "write N accounts for a credentials file"},
	"strangers": {"chatbench strangers [flags]", "measure a good client without and with many bad connections"},
	"scale":     {"chatbench scale -pid ID [flags]", "measure what a message costs, from few connections to many"},
}

// A workload is one shape of load.
type workload struct {
	name, what string
	run        func(*bench, context.Context, params) (figures, error)
}

// workloads are those of the flags -w1 to -w5.
var workloads = [...]workload{
	{"w1", "ping-pong: one message at a time, there and back", (*bench).pingPong},
	{"w2", "point to point: pairs, each with a window of messages unanswered", (*bench).pointToPoint},
	{"w3", "fan-out: one sender, broadcasts to many receivers", (*bench).fanOut},
	{"w4", "logins as fast as they go, then idle connections", (*bench).idle},
	{"w5", "store and forward: messages to users who are away, read later", (*bench).storeAndForward},
}

// run is chatbench without its process.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	name := ""
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		name, args = args[0], args[1:]
	}
	if name == spinning {
		return spin(stdin)
	}
	if _, ok := commands[name]; !ok {
		fmt.Fprintf(stderr, "chatbench: there is no command %q, only accounts, strangers and scale (chatbench -h lists the flags)\n", name)
		return errUsage
	}
	o, err := parseArgs(name, args, stderr)
	if err != nil {
		return err
	}
	b := &bench{o: o, stdout: stdout, stderr: stderr, keys: make(map[string]*scram.Client)}
	b.beat.Store(int64(o.beat))
	if o.tls {
		b.tls = b.tlsConfig()
	}
	if o.pid != 0 {
		if _, err := processUsage(o.pid); err != nil {
			return fmt.Errorf("-pid: there is no process %d whose figures could be read: %w", o.pid, err)
		}
	}
	switch name {
	case "accounts":
		return b.accounts()
	case "strangers":
		return b.strangers(ctx)
	case "scale":
		return b.scale(ctx)
	}
	return b.workloads(ctx)
}

// workloads runs those that were chosen, each as often as asked for.
func (b *bench) workloads(ctx context.Context) error {
	o := b.o
	all := o.works == [len(workloads)]bool{}
	for i, w := range workloads {
		if !all && !o.works[i] {
			continue
		}
		for _, p := range b.shapes(w.name) {
			if err := b.repeat(ctx, w, p); err != nil {
				return err
			}
		}
	}
	return nil
}

// shapes are the sizes in which a workload is to be run.
func (b *bench) shapes(work string) []params {
	o := b.o
	window := func(own int) int {
		if o.window > 0 {
			return o.window
		}
		return own
	}
	p := params{Size: o.size, Seconds: o.duration.Seconds()}
	switch work {
	case "w2":
		p.Pairs, p.Window = o.pairs, window(64)
	case "w3":
		var all []params
		for _, n := range o.receivers {
			p.Receivers, p.Window = n, window(16)
			all = append(all, p)
		}
		return all
	case "w4":
		p.Conns, p.Size = o.conns, 0
	case "w5":
		p.Senders, p.Window, p.Receivers = o.senders, window(256), o.receivers[0]
	}
	return []params{p}
}

// repeat runs a workload as often as asked for and shows the results.
func (b *bench) repeat(ctx context.Context, w workload, p params) error {
	if err := b.files(p.connections()); err != nil {
		return err
	}
	var runs []figures
	for n := range b.o.repeat {
		figs, err := w.run(b, ctx, p)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := b.report(w.name, n+1, p, figs, err); err != nil {
			return err
		}
		if err != nil {
			return fmt.Errorf("%s: %w", w.name, err)
		}
		runs = append(runs, figs)
	}
	if !b.o.json {
		return table(b.stdout, fmt.Sprintf("%s  %s", w.name, p), runs)
	}
	return nil
}

// report writes a result's line of JSON, if that is wanted.
func (b *bench) report(work string, n int, p params, figs figures, failed error) error {
	if !b.o.json {
		return nil
	}
	r := result{
		Work: work, Run: n, Time: time.Now().UTC().Format(time.RFC3339), Addr: b.o.addr,
		TLS: b.o.tls, Mech: b.o.mech, Params: p, Values: figs,
	}
	if failed != nil {
		r.Error = failed.Error()
	}
	return r.write(b.stdout)
}
