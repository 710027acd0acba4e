package stile_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestTheTestsThatGuaranteesNameExist: what docs/guarantees.md says is covered has a test of that name, in the package that it names.
func TestTheTestsThatGuaranteesNameExist(t *testing.T) {
	text, err := os.ReadFile("docs/guarantees.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := regexp.MustCompile(`(?m)^\|.*\|$`).FindAllString(string(text), -1)
	quoted := regexp.MustCompile("`([^`]+)`")
	named := 0
	for _, row := range rows {
		cells := strings.Split(strings.Trim(row, "|"), "|")
		if len(cells) != 3 || strings.Contains(cells[2], "---") || strings.TrimSpace(cells[2]) == "covered by" {
			continue
		}
		dir := ""
		tests := 0
		for _, m := range quoted.FindAllStringSubmatch(cells[2], -1) {
			if !strings.HasPrefix(m[1], "Test") {
				dir = m[1]
				continue
			}
			if tests++; !hasTest(t, dir, m[1]) {
				t.Errorf("package %q has no %s:\n%s", dir, m[1], row)
			}
		}
		if tests == 0 {
			t.Errorf("no test is named:\n%s", row)
		}
		named += tests
	}
	if named < 50 {
		t.Errorf("%d tests are named: the table was not found", named)
	}
}

// hasTest reports whether the package in dir has a test of that name.
func hasTest(t *testing.T, dir, name string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil || dir == "" {
		return false
	}
	for _, file := range files {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains("\n"+string(source), "\nfunc "+name+"(") {
			return true
		}
	}
	return false
}
