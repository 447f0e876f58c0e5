package main

import (
	"io"
	"os"
	"os/exec"
	"runtime"

	"golang.org/x/sys/unix"
)

const awakeWorks = true

// keepAwake starts a process that spins on every processor in the scheduling
// class for idle time, which everything else displaces at once. On a virtual
// machine an idle processor halts, and to wake it can take longer than a
// message's whole way, so that a load with pauses would measure that. It ends
// with this process, whose end closes its input.
func (b *bench) keepAwake() (stop func()) {
	if !b.o.awake {
		return func() {}
	}
	fail := func(err error) func() {
		b.say("processors that are idle may halt, which makes latencies longer: %v", err)
		return func() {}
	}
	self, err := os.Executable()
	if err != nil {
		return fail(err)
	}
	c := exec.Command(self, spinning)
	in, err := c.StdinPipe()
	if err != nil {
		return fail(err)
	}
	if err := c.Start(); err != nil {
		return fail(err)
	}
	b.spinner.Store(int64(c.Process.Pid))
	return func() {
		b.spinner.Store(0)
		in.Close()
		c.Wait()
	}
}

// spin is the whole work of that process.
func spin(stdin io.Reader) error {
	started := make(chan error)
	for range runtime.NumCPU() {
		go func() {
			runtime.LockOSThread() // the class is the thread's
			err := unix.SchedSetAttr(0, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_IDLE}, 0)
			started <- err
			if err != nil {
				return
			}
			//lint:ignore SA5002 to spin is what it is for
			for {
			}
		}()
		if err := <-started; err != nil {
			return err
		}
	}
	_, err := io.Copy(io.Discard, stdin)
	return err // the end of main ends the threads
}
