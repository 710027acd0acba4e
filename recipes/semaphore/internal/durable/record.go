package durable

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/stile-dev/stile/fencing"
)

// What a record may hold, so that it stays below what etcd takes as one request (1.5 MiB): 1,000 holders of 1,300 bytes and 256 that were
// released, of 600, are 1.4 MiB at the most.
const (
	// MaxLimit is the largest limit of a durable semaphore.
	MaxLimit = 1000

	mostID       = 128  // bytes of a holder's id, as JSON
	mostLabels   = 1024 // bytes of a holder's labels, as JSON
	mostGroups   = 1024 // bytes of the group limits, as JSON
	mostReason   = 256  // bytes of an operator's reason, as JSON
	mostReleased = 256
	keepReleased = 24 * time.Hour // by the wall clock of who writes the record
)

// Record is all of a durable semaphore, in one key.
//
// Invariants: ids and slots of the holders are unique. A holder without a token was granted by the write that made this record what it is, so its
// token is the key's mod revision; each later write fills it in.
type Record struct {
	Limit    int            `json:"limit"`
	Groups   map[string]int `json:"groups,omitempty"` // by label: how many holders may have the same value of it
	Set      string         `json:"set"`              // the id of the SetLimit that came last
	Holders  []Holding      `json:"holders"`
	Released []Released     `json:"released,omitempty"` // oldest first
}

// Holding is one permit.
type Holding struct {
	ID     string            `json:"id"`
	Slot   int               `json:"slot"`
	Token  fencing.Token     `json:"token,omitzero"`
	At     time.Time         `json:"at"` // when it was granted, by the wall clock of who did
	Labels map[string]string `json:"labels,omitempty"`
}

// Released is a permit that has ended.
type Released struct {
	ID      string        `json:"id"`
	Token   fencing.Token `json:"token"`
	At      time.Time     `json:"at"`
	Removed bool          `json:"removed,omitempty"` // by an operator
	Reason  string        `json:"reason,omitempty"`
}

// Seen is a record as it was at a revision; without one there is none.
type Seen struct {
	Record *Record
	Rev    int64
	leased bool // there is none, and the name is a leased semaphore's
}

// read reads what stands in etcd; kv may be nil.
func read(kv *mvccpb.KeyValue) (*Seen, error) {
	if kv == nil {
		return &Seen{}, nil
	}
	r := &Record{}
	if err := json.Unmarshal(kv.Value, r); err != nil {
		return nil, unreadable(string(kv.Key), err)
	}
	if err := CheckLimit(r.Limit, r.Groups); err != nil { // somebody else has written it
		return nil, unreadable(string(kv.Key), err)
	}
	return r.at(kv.ModRevision), nil
}

// at is the record once it was written at rev.
func (r *Record) at(rev int64) *Seen {
	for i := range r.Holders {
		if r.Holders[i].Token.IsZero() {
			r.Holders[i].Token = fencing.FromRevision(rev)
		}
	}
	return &Seen{Record: r, Rev: rev}
}

// clone is a copy to change. What the entries refer to is never changed.
func (r *Record) clone() *Record {
	c := *r
	c.Groups, c.Holders, c.Released = maps.Clone(r.Groups), slices.Clone(r.Holders), slices.Clone(r.Released)
	return &c
}

// encode forgets who was released too long ago, and is what is written.
func (r *Record) encode(now time.Time) string {
	r.Released = slices.DeleteFunc(r.Released, func(e Released) bool { return now.Sub(e.At) > keepReleased })
	if n := len(r.Released) - mostReleased; n > 0 {
		r.Released = slices.Delete(r.Released, 0, n)
	}
	return string(encodeJSON(r))
}

func encodeJSON(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(err) // strings, numbers and times of our own
	}
	return bytes.TrimSpace(b.Bytes())
}

// Holder is the permit of id; nil if it has none.
func (r *Record) Holder(id string) *Holding {
	i := slices.IndexFunc(r.Holders, func(h Holding) bool { return h.ID == id })
	if i < 0 {
		return nil
	}
	return &r.Holders[i]
}

// room says why there is none for one more holder with these labels. A label that is missing counts as an empty one.
func (r *Record) room(labels map[string]string) error {
	if len(r.Holders) >= r.Limit {
		return &FullError{Limit: r.Limit, Held: len(r.Holders)}
	}
	for _, label := range slices.Sorted(maps.Keys(r.Groups)) {
		same, value := 0, labels[label]
		for _, h := range r.Holders {
			if h.Labels[label] == value {
				same++
			}
		}
		if most := r.Groups[label]; same >= most {
			return &FullError{Limit: most, Held: same, Label: label, Value: value}
		}
	}
	return nil
}

// admits reports whether grant would give id a permit, or it has one.
func (r *Record) admits(id string, labels map[string]string) bool {
	return r.Holder(id) != nil || r.room(labels) == nil
}

// grant gives a permit to id, unless it has one.
func (r *Record) grant(id string, labels map[string]string) (changed bool, err error) {
	if r.Holder(id) != nil {
		return false, nil
	}
	if err := r.room(labels); err != nil {
		return false, err
	}
	r.Holders = append(r.Holders, Holding{ID: id, Slot: r.freeSlot(), At: wallClock(), Labels: labels})
	return true, nil
}

// freeSlot is the lowest that nobody has: one of the first so many, and one more, is free.
func (r *Record) freeSlot() int {
	taken := make([]bool, len(r.Holders)+1)
	for _, h := range r.Holders {
		if h.Slot >= 0 && h.Slot < len(taken) {
			taken[h.Slot] = true
		}
	}
	return slices.Index(taken, false)
}

// end takes the permit with that token from id, if it has it.
func (r *Record) end(id string, token fencing.Token, removed bool, reason string) bool {
	i := slices.IndexFunc(r.Holders, func(h Holding) bool { return h.ID == id && h.Token == token })
	if i < 0 {
		return false
	}
	r.Holders = slices.Delete(r.Holders, i, i+1)
	r.Released = append(r.Released, Released{ID: id, Token: token, At: wallClock(), Removed: removed, Reason: reason})
	return true
}

// ended is how the permit with that token ended; nil if that is not known, or not any more.
func (r *Record) ended(id string, token fencing.Token) *Released {
	i := slices.IndexFunc(r.Released, func(e Released) bool { return e.ID == id && e.Token == token })
	if i < 0 {
		return nil
	}
	return &r.Released[i]
}

// wallClock is the wall clock, for people to read and to forget by.
func wallClock() time.Time { return time.Now().UTC() }
