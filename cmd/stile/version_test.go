package main

import (
	"encoding/json"
	"runtime"
	"strings"
	"testing"
)

func TestVersionTellsItsOwnGosAndEtcds(t *testing.T) {
	text := stile(t, nil, "version")
	if text.code != 0 || !strings.Contains(text.stdout, "stile ") || !strings.Contains(text.stdout, "etcd 3.") || !strings.Contains(text.stdout, runtime.Version()) {
		t.Errorf("version: %v", text)
	}
	var v versions
	r := stile(t, nil, "version", "--json")
	if err := json.Unmarshal([]byte(r.stdout), &v); err != nil || r.code != 0 {
		t.Fatalf("version --json: %v, %v", r, err)
	}
	if v.Stile == "" || v.Go != runtime.Version() || !strings.HasPrefix(v.Etcd, "3.") || v.Platform == "" {
		t.Errorf("version --json: %+v", v)
	}
}

func TestRevisionIsShortAndSaysIfItWasModified(t *testing.T) {
	v := versions{Stile: "v1.2.3", Revision: "0123456789abcdef", Modified: true}
	if got, want := v.String(), "v1.2.3 (0123456789ab, modified)"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
