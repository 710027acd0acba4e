package stile_test

import (
	"go/format"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestReadmeCompiles: every block of Go in README.md compiles, a fragment within a function that has what the text speaks of.
func TestReadmeCompiles(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(string(readme), -1)
	if len(blocks) < 2 {
		t.Fatalf("%d blocks of Go in README.md, want the program and a fragment", len(blocks))
	}
	file := filepath.Join(t.TempDir(), "main.go")
	for _, block := range blocks {
		source := block[1]
		if !strings.HasPrefix(source, "package ") {
			source = fragment(source)
		}
		if formatted, err := format.Source([]byte(block[1])); err != nil || string(formatted) != block[1] {
			t.Errorf("not formatted: %v\n%s", err, block[1])
		}
		if err := os.WriteFile(file, []byte(source), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command("go", "vet", file).CombinedOutput(); err != nil {
			t.Errorf("%s\n%s", out, source)
		}
	}
}

// fragment is a program around a few lines that know ctx, s and client.
func fragment(lines string) string {
	return `package main

import (
	"context"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/recipes/lock"
	"github.com/stile-dev/stile/recipes/session"
)

func main() {}

var _ = clientv3.OpPut

func fragment(ctx context.Context, s *session.Session) error {
` + lines + `
	return err
}
`
}
