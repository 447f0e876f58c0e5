package main

import (
	"os"
	"testing"
)

func TestMain(m *testing.M) {
	if os.Getenv(editorChild) != "" {
		runEditorChild()
		return
	}
	os.Exit(m.Run())
}
