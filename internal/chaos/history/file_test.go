package history

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestHistoriesAreReadAsTheyWereWritten(t *testing.T) {
	dir := t.TempDir()
	who := Who{Client: 3, Life: 1}
	a, err := Create(filepath.Join(dir, "a"+Suffix))
	if err != nil {
		t.Fatal(err)
	}
	done := Op{Who: who, ID: 1, Kind: Acquire, Name: "x", Call: 20, Return: 30, Result: OK, Token: 7}
	called := Op{Who: who, ID: 2, Kind: Write, Name: "x", Call: 10}
	for _, r := range []Record{
		{Setup: &Setup{Seed: 9}},
		{Called: &Op{Who: who, ID: 1, Kind: Acquire, Name: "x", Call: 20}},
		{Op: &done},
		{Called: &called},
		{Belief: &Belief{Who: who, Token: 7}},
		{Stall: &Stall{Who: who, From: 1, To: 2}},
		{End: &End{Who: who, At: 40}},
	} {
		a.Write(r)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := Create(filepath.Join(dir, "b"+Suffix))
	if err != nil {
		t.Fatal(err)
	}
	b.Write(Record{Fault: &Fault{Kind: "late", From: 5}})
	b.Write(Record{Fault: &Fault{Kind: "early", From: 4}})
	b.Write(Record{Event: &Event{Rev: 2}})
	b.Write(Record{Stored: &Stored{Token: 7}})
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	called.Result = Unknown
	want := &History{
		Setup: Setup{Seed: 9}, Ops: []Op{called, done}, Beliefs: []Belief{{Who: who, Token: 7}},
		Stalls: []Stall{{Who: who, From: 1, To: 2}}, Ends: []End{{Who: who, At: 40}}, Stored: []Stored{{Token: 7}},
		Faults: []Fault{{Kind: "early", From: 4}, {Kind: "late", From: 5}}, Events: []Event{{Rev: 2}},
	}
	got, err := Read(dir)
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("Read: %v (-want +got)\n%s", err, diff)
	}
}

func TestOnlyTheLastLineMayBeTorn(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a"+Suffix)
	if err := os.WriteFile(path, []byte(`{"event":{"rev":2}}`+"\n"+`{"event":{"re`), 0o600); err != nil {
		t.Fatal(err)
	}
	if h, err := Read(dir); err != nil || len(h.Events) != 1 {
		t.Errorf("Read = %v, %v, want one event", h, err)
	}
	if err := os.WriteFile(path, []byte(`{"event":{"re`+"\n"+`{"event":{"rev":2}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(dir); err == nil {
		t.Error("a torn line in the middle was read over")
	}
}

func TestStallsCountWhereTheyOverlap(t *testing.T) {
	who := Who{Client: 1}
	h := History{Stalls: []Stall{{who, 10, 20}, {who, 25, 40}, {Who{Client: 2}, 0, 100}}}
	if got := h.Stalled(who, 15, 30, 0); got != 10 {
		t.Errorf("stalled for %d, want 10", got)
	}
	if got := h.Stalled(who, 15, 30, 11); got != 5 {
		t.Errorf("stalled for %d in long stalls, want 5", got)
	}
}
