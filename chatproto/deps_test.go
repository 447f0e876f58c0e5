package chatproto_test

import (
	"os/exec"
	"strings"
	"testing"
)

// chatproto is bytes and rules: it depends on the standard library alone, and
// there on nothing that dials, logs or touches files.
func TestDependencies(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "-f", "{{.ImportPath}} {{.Standard}}", ".").Output()
	if err != nil {
		t.Fatal("go list:", err)
	}
	for _, l := range strings.Split(strings.TrimSpace(string(out)), "\n") {
		path, standard, _ := strings.Cut(l, " ")
		if standard != "true" && path != "github.com/parleyproto/parley/chatproto" {
			t.Errorf("depends on %s", path)
		}
		for _, banned := range []string{"net", "log", "os", "fmt"} {
			if path == banned || strings.HasPrefix(path, banned+"/") {
				t.Errorf("depends on %s", path)
			}
		}
	}
}
