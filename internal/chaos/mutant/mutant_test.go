package mutant

import (
	"os/exec"
	"testing"
)

const root = "../../.."

// Each mutant still says what it changes, and what it makes of it compiles.
func TestMutantsApply(t *testing.T) {
	for _, m := range All {
		t.Run(m.Name, func(t *testing.T) {
			overlay, err := m.Overlay(root, t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.CommandContext(t.Context(), "go", append([]string{"build", "-overlay", overlay}, m.Packages()...)...)
			cmd.Dir = root
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("it doesn't compile: %v\n%s", err, out)
			}
		})
	}
}

func TestAnEditMustMatchOnce(t *testing.T) {
	for _, old := range []string{"no such text", "package"} { // the doc of the package has the word as well
		m := Mutant{Name: "x", Edits: []Edit{{File: "recipes/lock/doc.go", Old: old}}}
		if _, err := m.Overlay(root, t.TempDir()); err == nil {
			t.Errorf("%q was replaced", old)
		}
	}
}
