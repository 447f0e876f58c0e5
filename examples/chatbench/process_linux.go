package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// tick is USER_HZ, the unit of times in /proc, which is the same everywhere.
const tick = 100

// processUsage is what a process has used, according to /proc.
func processUsage(pid int) (usage, error) {
	var u usage
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return u, err
	}
	f := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:])) // from the third field on
	user, _ := strconv.ParseFloat(f[11], 64)
	sys, _ := strconv.ParseFloat(f[12], 64)
	u.user, u.sys = user/tick, sys/tick
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return u, err
	}
	for line := range strings.Lines(string(status)) {
		switch f := strings.Fields(line); f[0] {
		case "VmRSS:":
			n, _ := strconv.ParseInt(f[1], 10, 64)
			u.rss = n << 10
		case "VmHWM:":
			n, _ := strconv.ParseInt(f[1], 10, 64)
			u.peak = n << 10
		}
	}
	return u, nil
}

// machineUsage is the processor time that the machine was busy.
func machineUsage() float64 {
	b, _ := os.ReadFile("/proc/stat")
	line, _, _ := strings.Cut(string(b), "\n")
	var busy float64
	for i, s := range strings.Fields(line) {
		switch {
		case i == 0, i == 4, i == 5, i > 8: // the name; idle and waiting; guests, which stand in user too
			continue
		}
		n, _ := strconv.ParseFloat(s, 64)
		busy += n / tick
	}
	return busy
}

// processFiles is how many files a process may have open; 0 if it is not known.
func processFiles(pid int) uint64 {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/limits", pid))
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "Max open files"); ok {
			n, _ := strconv.ParseUint(strings.Fields(rest)[0], 10, 64)
			return n
		}
	}
	return 0
}
