package line

import (
	"encoding/json"
	"os"
	"strings"
	"time"

	"github.com/google/uuid"
	"go.etcd.io/etcd/api/v3/mvccpb"
)

// Details are what an entry tells people about who stands there.
type Details struct {
	Host   string            `json:"host,omitempty"`
	PID    int               `json:"pid,omitempty"`
	At     time.Time         `json:"at"` // when it joined, by its own wall clock
	Labels map[string]string `json:"labels,omitempty"`
	Want   string            `json:"want,omitempty"` // what it waits for, as its recipe writes it
	// Of a candidate for a place that one may be appointed to:
	Value    string `json:"value,omitempty"`
	Priority int    `json:"priority,omitempty"`
}

// How an entry ended.
const (
	passed  = "passed"
	gone    = "gone"
	granted = "granted" // it was given its places by somebody else
	removed = "removed"
)

// mark is the value of an entry that has ended.
type mark struct {
	State  string    `json:"state"`
	At     time.Time `json:"at"`               // passed: when, by the wall clock of who passed on
	Kept   bool      `json:"kept,omitempty"`   // passed: the lock is kept, as d/ says
	Behind string    `json:"behind,omitempty"` // gone: the id of the predecessor, if it was known; granted: likewise, of one that was not the first
	Places []string  `json:"places,omitempty"` // granted, or passed by somebody else: the names of its places
	With   bool      `json:"with,omitempty"`   // granted: whoever stands behind was let in as well, by the same Txn
}

func encode(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // strings, numbers and times of our own
	}
	return string(b)
}

// entryID is the id of the entry that kv is, "" if it is something else: what stands beside one, or what no recipe wrote.
func entryID(prefix string, kv *mvccpb.KeyValue) string {
	id, ok := strings.CutPrefix(string(kv.Key), prefix+"e/")
	if !ok || uuid.Validate(id) != nil {
		return ""
	}
	return id
}

// live reports whether kv, an entry as etcd has it, was never written again.
func live(kv *mvccpb.KeyValue) bool {
	return kv != nil && kv.ModRevision == kv.CreateRevision
}

// readMark is how kv ended. Of what it can't read it says that it is gone, without a pointer: then history is asked.
func readMark(kv *mvccpb.KeyValue) mark {
	var m mark
	if err := json.Unmarshal(kv.Value, &m); err != nil {
		return mark{State: gone}
	}
	return m
}

func readDetails(kv *mvccpb.KeyValue) Details {
	var d Details
	_ = json.Unmarshal(kv.Value, &d) // somebody else's client may tell less
	return d
}

// Self is what this process tells of itself.
func Self(labels map[string]string) Details {
	host, _ := os.Hostname() // "" is all there is to say then
	return Details{Host: host, PID: os.Getpid(), At: time.Now().UTC(), Labels: labels}
}
