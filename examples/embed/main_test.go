package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
)

func Example() {
	if err := embed(context.Background()); err != nil {
		fmt.Println(err)
	}
	// Output:
	// alice: lunch?
	// it was delivered
}

// The README shows this program as it is.
func TestReadme(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("main.go")
	if err != nil {
		t.Fatal(err)
	}
	_, body, _ := strings.Cut(string(source), "func embed(ctx context.Context) error {\n")
	if !strings.Contains(string(readme), strings.TrimSuffix(body, "}\n")) {
		t.Error("README.md shows another embedding example than main.go")
	}
}
