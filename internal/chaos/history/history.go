// Package history is what a run of the fault harness writes down while it goes on, and what its checkers read afterwards: what the
// clients called and were told, what they believed, what etcd did, and which faults there were.
//
// All times are of one clock that all processes of the machine share, so that the parts fit together without a skew.
package history

import (
	"slices"
	"time"
)

// A Time is in nanoseconds on the clock of the machine that goes on while it is suspended.
type Time int64

// Add is t and d later.
func (t Time) Add(d time.Duration) Time { return t + Time(d) }

// Sub is how much later t is than u.
func (t Time) Sub(u Time) time.Duration { return time.Duration(t - u) }

// What a client calls.
const (
	Open     = "open"    // a session
	Close    = "close"   // a session
	Acquire  = "acquire" // waits
	Try      = "try"     // doesn't wait
	Release  = "release"
	Resize   = "resize"    // sets a limit
	Proclaim = "proclaim"  // a leader's value
	Observe  = "observe"   // one change that an observer saw
	Work     = "work"      // of a leader, which is over before anybody else leads
	Exchange = "downgrade" // of a hold for writing into one for reading: the new one
	Write    = "write"     // into etcd, in a transaction guarded by the hold
	Fetch    = "read"      // what was written there, in a transaction guarded by the hold
	Store    = "store"     // into a store outside etcd, that has a gate
	Check    = "check"     // does it believe that it holds?
	Context  = "context"   // has its context not ended? A process that has just been stopped may not know it yet
)

// What a call came to.
const (
	OK      = "ok"
	Fail    = "fail"    // certainly not done
	Unknown = "unknown" // may have been done, or still be
)

// Who is a client process: the number of the client, and of its life, since it is killed and started again.
type Who struct {
	Client int `json:"c"`
	Life   int `json:"l"`
}

// An Op is one call of a client's.
type Op struct {
	Who
	ID       int64  `json:"id"` // one of a kind in the life
	Kind     string `json:"k"`
	Recipe   string `json:"r,omitempty"`
	Name     string `json:"n,omitempty"`
	Session  int64  `json:"s,omitempty"`
	Set      int64  `json:"set,omitempty"`    // of several acquired at once: the ID of the first
	Shared   bool   `json:"shared,omitempty"` // it is about a hold that others may have as well
	Call     Time   `json:"call"`
	Return   Time   `json:"ret,omitempty"`  // 0: never
	Deadline Time   `json:"dead,omitempty"` // of its ctx; 0: none
	Result   string `json:"res,omitempty"`
	Token    int64  `json:"tok,omitempty"`
	Key      string `json:"key,omitempty"` // of the hold, in etcd
	Rev      int64  `json:"rev,omitempty"` // that etcd answered with
	Value    string `json:"val,omitempty"` // that was read
	Err      string `json:"err,omitempty"`
}

// A Belief is how long a client took itself for the holder. The ends are the last instants at which that was seen, so it may have
// lasted longer, but not shorter.
type Belief struct {
	Who
	Recipe  string `json:"r"`
	Name    string `json:"n"`
	Token   int64  `json:"tok"`
	Key     string `json:"key"`
	Shared  bool   `json:"shared,omitempty"`
	From    Time   `json:"from"`
	Err     Time   `json:"err"`           // Err was nil
	Context Time   `json:"ctx"`           // the hold's context had not ended
	Revived Time   `json:"rev,omitempty"` // Err was nil again after it had said that the hold was lost; 0: never
	Cause   string `json:"cause,omitempty"`
}

// A Stall is a time during which a client process did not run: it was stopped, or the machine was busy with others.
type Stall struct {
	Who
	From Time `json:"from"`
	To   Time `json:"to"`
}

// An End is the last word of a client that was asked to stop.
type End struct {
	Who
	At    Time     `json:"at"`
	Leaks []string `json:"leaks,omitempty"`
}

// A Stored is a write, or a read, that reached the store, as the store saw it.
type Stored struct {
	Resource string `json:"res"`
	Token    int64  `json:"tok"`
	Shared   bool   `json:"shared,omitempty"` // it was a read
	Admitted bool   `json:"ok"`
	At       Time   `json:"at"`
}

// A Fault is something that was done to the clients or to etcd.
type Fault struct {
	Kind    string   `json:"kind"`
	From    Time     `json:"from"`
	To      Time     `json:"to"`
	Clients []int    `json:"clients,omitempty"` // whom it hit
	Server  bool     `json:"server,omitempty"`  // it hit everybody
	Stale   bool     `json:"stale,omitempty"`   // a member stood still: one that led may end leases which its successor has renewed
	Breach  bool     `json:"breach,omitempty"`  // an operator took Keys, or all that is on Lease, without asking the holder
	Keys    []string `json:"keys,omitempty"`
	Lease   int64    `json:"lease,omitempty"`
	Rev     int64    `json:"rev,omitempty"` // at which Keys were taken; 0: nobody knows
	Note    string   `json:"note,omitempty"`
}

// Hits tells whether the fault may be felt by client.
func (f Fault) Hits(client int) bool {
	return f.Server || slices.Contains(f.Clients, client)
}

// An Event is one change of one key, as etcd told it.
type Event struct {
	Rev    int64  `json:"rev"`
	Key    string `json:"key"`
	Create int64  `json:"create,omitempty"`
	Lease  int64  `json:"lease,omitempty"`
	Delete bool   `json:"del,omitempty"`
	Value  string `json:"val,omitempty"`
	Seen   Time   `json:"seen"` // when it was heard of, so it happened before
}

// Live tells whether the event created the key.
func (e Event) Live() bool { return !e.Delete && e.Rev == e.Create }

// Setup is what the run was told to be.
type Setup struct {
	Workload string        `json:"workload"`
	Seed     uint64        `json:"seed"`
	Members  int           `json:"members"`
	Clients  int           `json:"clients"`
	TTL      time.Duration `json:"ttl"`
	Margin   time.Duration `json:"margin"`
	Cleanup  time.Duration `json:"cleanup"`
}

// A Record is one line of a file; one of its fields is set.
type Record struct {
	Setup  *Setup  `json:"setup,omitempty"`
	Called *Op     `json:"call,omitempty"` // before it returns
	Op     *Op     `json:"op,omitempty"`
	Belief *Belief `json:"belief,omitempty"`
	Stall  *Stall  `json:"stall,omitempty"`
	End    *End    `json:"end,omitempty"`
	Stored *Stored `json:"stored,omitempty"`
	Fault  *Fault  `json:"fault,omitempty"`
	Event  *Event  `json:"event,omitempty"`
}

// A History is all of it. Ops are in the order of their calls, Events in that of their revisions.
type History struct {
	Setup   Setup
	Ops     []Op
	Beliefs []Belief
	Stalls  []Stall
	Ends    []End
	Stored  []Stored
	Faults  []Fault
	Events  []Event

	// What was left in etcd when all clients had ended.
	LeftKeys   []string
	LeftLeases int
	Until      Time // the end of the run
}

// Stalled is for how long who did not run between two times, in stalls of at least that length.
func (h *History) Stalled(who Who, from, to Time, least time.Duration) time.Duration {
	var sum time.Duration
	for _, s := range h.Stalls {
		if s.Who == who && s.From < to && s.To > from && s.To.Sub(s.From) >= least {
			sum += min(s.To, to).Sub(max(s.From, from))
		}
	}
	return sum
}
