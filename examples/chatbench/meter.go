package main

import (
	"os"
	"strings"
	"time"
)

// usage is what a process has used so far.
type usage struct {
	user, sys float64 // seconds of processor time
	rss, peak int64   // octets of memory
}

func (u usage) cpu() float64 { return u.user + u.sys }

// server is what the server has used; zero without -pid.
func (b *bench) server() usage {
	if b.o.pid == 0 {
		return usage{}
	}
	u, _ := processUsage(b.o.pid)
	return u
}

// A meter measures between its start and its end.
type meter struct {
	b            *bench
	at           time.Time
	server, self usage
	machine      float64
}

func (b *bench) meter() meter {
	m := meter{b: b, server: b.server()}
	m.self, _ = processUsage(os.Getpid())
	m.machine = b.machineCPU()
	m.at = time.Now()
	return m
}

// stop tells how many units there were a second, and what they cost. before is
// what the server used before there were any connections.
func (m meter) stop(f *figures, units uint64, unit string, before usage) {
	seconds := time.Since(m.at).Seconds()
	f.add(plural(unit)+"_per_s", plural(unit)+" a second", float64(units)/seconds)
	if m.b.o.pid == 0 {
		return
	}
	now := m.b.server()
	million := 1e6 / float64(max(units, 1))
	f.add("server_cpu_s_per_million", "server's CPU, s a million "+plural(unit), (now.cpu()-m.server.cpu())*million)
	f.add("server_user_s_per_million", "  of it user", (now.user-m.server.user)*million)
	f.add("server_system_s_per_million", "  of it system", (now.sys-m.server.sys)*million)
	m.cores(f)
	m.b.memory(f, before)
}

// disturbed is how many cores other processes may use before the figures are
// no longer those of a quiet machine.
const disturbed = 0.3

// cores tells how many processors were busy, and for whom.
func (m meter) cores(f *figures) {
	if m.b.o.pid == 0 {
		return
	}
	seconds := time.Since(m.at).Seconds()
	self, _ := processUsage(os.Getpid())
	cpu, own := m.b.server().cpu()-m.server.cpu(), self.cpu()-m.self.cpu()
	other := max(0, (m.b.machineCPU()-m.machine-cpu-own)/seconds)
	f.add("server_cores", "server's CPU, cores", cpu/seconds)
	f.add("bench_cores", "chatbench's CPU, cores", own/seconds)
	f.add("other_cores", "other processes' CPU, cores", other)
	if other > disturbed {
		m.b.say("other processes used %s cores meanwhile: figures of a quiet machine are better", number(other))
	}
}

func plural(unit string) string {
	if y, ok := strings.CutSuffix(unit, "y"); ok {
		return y + "ies"
	}
	return unit + "s"
}

// memory tells what the server has grown to.
func (b *bench) memory(f *figures, before usage) {
	if b.o.pid == 0 {
		return
	}
	now := b.server()
	f.add("server_rss_before_mib", "server's memory before, MiB", mib(before.rss))
	f.add("server_rss_after_mib", "server's memory after, MiB", mib(now.rss))
	f.add("server_rss_peak_mib", "server's highest memory ever, MiB", mib(now.peak))
}

func mib(octets int64) float64 { return float64(octets) / (1 << 20) }

// kibEach is how many KiB each of n is of what the server grew by.
func kibEach(before, now usage, n int) float64 {
	return float64(now.rss-before.rss) / 1024 / float64(n)
}

// machineCPU is the processor time that all processes have used, but for the
// one that keeps the processors awake.
func (b *bench) machineCPU() float64 {
	all := machineUsage()
	if pid := b.spinner.Load(); pid != 0 {
		u, _ := processUsage(int(pid))
		all -= u.cpu()
	}
	return all
}
