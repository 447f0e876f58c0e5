package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"os"
	"testing"
)

// TestProfile: what the processor was busy with stands in the file when chatd
// has ended.
func TestProfile(t *testing.T) {
	t.Chdir(t.TempDir())
	ctx, stop := context.WithCancel(t.Context())
	r, w := io.Pipe()
	ended := make(chan error)
	go func() {
		ended <- run(ctx, []string{"-memory", "-cpuprofile", "cpu.prof", "0"}, nil, w, io.Discard)
		w.Close()
	}()
	out := bufio.NewReader(r)
	if _, err := out.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	go io.Copy(io.Discard, out)
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	profile, err := os.ReadFile("cpu.prof")
	if gzipped := []byte{0x1f, 0x8b}; err != nil || !bytes.HasPrefix(profile, gzipped) {
		t.Errorf("%d octets, %v, want a profile", len(profile), err)
	}
}
