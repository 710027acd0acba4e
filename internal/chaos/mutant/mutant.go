// Package mutant breaks the recipes on purpose, one promise at a time, to see that the fault harness notices. The source that is shipped
// has no place for that: a mutant is a replacement of text in it, which the compiler is given instead of the file.
package mutant

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// An Edit replaces text that stands in a file once.
type Edit struct {
	File string // below the module's root
	Old  string
	New  string
}

// A Mutant is a way to be wrong.
type Mutant struct {
	Name  string
	Edits []Edit
}

// apply makes the edits, and returns the new text of each file.
func (m Mutant) apply(root string) (map[string]string, error) {
	texts := map[string]string{}
	for _, e := range m.Edits {
		text, ok := texts[e.File]
		if !ok {
			b, err := os.ReadFile(filepath.Join(root, e.File))
			if err != nil {
				return nil, fmt.Errorf("mutant %s: %w", m.Name, err)
			}
			text = string(b)
		}
		if n := strings.Count(text, e.Old); n != 1 {
			return nil, fmt.Errorf("mutant %s: %s has %d times what it replaces, not once: %q", m.Name, e.File, n, e.Old)
		}
		texts[e.File] = strings.Replace(text, e.Old, e.New, 1)
	}
	return texts, nil
}

// Overlay writes what `go build -overlay` wants into dir, for the module at root, and returns the path of that file.
func (m Mutant) Overlay(root, dir string) (string, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return "", err
	}
	texts, err := m.apply(root)
	if err != nil {
		return "", err
	}
	replace := map[string]string{}
	for file, text := range texts {
		path := filepath.Join(dir, strings.ReplaceAll(file, "/", "_"))
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			return "", err
		}
		replace[filepath.Join(root, file)] = path
	}
	b, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	overlay := filepath.Join(dir, "overlay.json")
	return overlay, os.WriteFile(overlay, b, 0o600)
}

// Packages are those that the mutant changes, below the module's root.
func (m Mutant) Packages() (dirs []string) {
	seen := map[string]bool{}
	for _, e := range m.Edits {
		if dir := filepath.Dir(e.File); !seen[dir] {
			seen[dir] = true
			dirs = append(dirs, "./"+dir)
		}
	}
	return dirs
}
