package check

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stile-dev/stile/internal/chaos/history"
)

// A story is a history made by hand. Its times are in milliseconds.
type story struct {
	*testing.T
	history.History
	layout Layout
	id     int64
}

func at(ms int) history.Time { return history.Time(ms) * history.Time(time.Millisecond) }

const entries = "/e/"

// layout has the entries of the lock a at /e/a/…
var layout = Layout{
	Data: "/data/",
	Entry: func(key string) (string, bool) {
		rest, ok := strings.CutPrefix(key, entries)
		name, _, _ := strings.Cut(rest, "/")
		return name, ok
	},
}

func newStory(t *testing.T) *story {
	t.Helper()
	s := &story{T: t, layout: layout}
	s.Setup = history.Setup{TTL: 2 * time.Second, Cleanup: 3 * time.Second}
	s.Until = at(20000)
	return s
}

func key(token int64) string { return fmt.Sprintf("%sa/%d", entries, token) }

// joins is the creation of an entry.
func (s *story) joins(ms int, rev int64) {
	s.Events = append(s.Events, history.Event{Rev: rev, Key: key(rev), Create: rev, Lease: 100 + rev, Seen: at(ms)})
}

// leaves is the deletion of the entry with that token.
func (s *story) leaves(ms int, rev, token int64) {
	s.Events = append(s.Events, history.Event{Rev: rev, Key: key(token), Delete: true, Seen: at(ms)})
}

// passes is a mark on the entry with that token.
func (s *story) passes(ms int, rev, token int64) {
	s.Events = append(s.Events, history.Event{Rev: rev, Key: key(token), Create: token, Seen: at(ms)})
}

func (s *story) op(client int, kind string, from, to int, token int64) *history.Op {
	s.id++
	s.Ops = append(s.Ops, history.Op{
		Who: history.Who{Client: client}, ID: s.id, Kind: kind, Name: "a", Call: at(from), Return: at(to), Result: history.OK, Token: token, Key: key(token),
	})
	return &s.Ops[len(s.Ops)-1]
}

// writes is a write by a holder, and its event.
func (s *story) writes(client, from, to int, token, rev int64) *history.Op {
	op := s.op(client, history.Write, from, to, token)
	op.Rev = rev
	s.Events = append(s.Events, history.Event{Rev: rev, Key: "/data/a", Create: 3, Value: Stamp(token, *op), Seen: at(to)})
	return op
}

func (s *story) believes(client, from, to int, token int64) *history.Belief {
	s.Beliefs = append(s.Beliefs, history.Belief{
		Who: history.Who{Client: client}, Name: "a", Token: token, Key: key(token), From: at(from), Err: at(to), Context: at(to),
	})
	return &s.Beliefs[len(s.Beliefs)-1]
}

func (s *story) fault(f history.Fault, from, to int) {
	f.From, f.To = at(from), at(to)
	s.Faults = append(s.Faults, f)
}

// want judges the story: these rules were violated, and no others.
func (s *story) want(rules ...string) *Verdict {
	s.Helper()
	v := Judge(&s.History, s.layout)
	found := map[string]bool{}
	for _, x := range v.Violations {
		found[x.Rule] = true
	}
	for _, rule := range rules {
		if !found[rule] {
			s.Errorf("%s was not found", rule)
		}
		delete(found, rule)
	}
	if len(found) > 0 {
		s.Errorf("found %v, want only %v", v.Violations, rules)
	}
	return v
}

// good is a story of two clients, one after the other, in which nothing is wrong.
func good(t *testing.T) *story {
	t.Helper()
	s := newStory(t)
	s.joins(110, 5)
	s.op(0, history.Acquire, 100, 112, 5)
	s.joins(120, 6)
	s.writes(0, 130, 140, 5, 7)
	s.believes(0, 112, 149, 5)
	s.passes(160, 8, 5)
	s.op(0, history.Release, 150, 161, 5)
	s.op(1, history.Acquire, 115, 163, 6)
	s.writes(1, 170, 180, 6, 9)
	s.leaves(181, 10, 5) // the mark
	s.op(1, history.Check, 181, 182, 6)
	s.believes(1, 163, 189, 6)
	s.leaves(200, 11, 6)
	s.op(1, history.Release, 190, 201, 6)
	return s
}

// last is the last operation of a kind.
func (s *story) last(kind string) *history.Op {
	for i := len(s.Ops) - 1; i >= 0; i-- {
		if s.Ops[i].Kind == kind {
			return &s.Ops[i]
		}
	}
	s.Fatalf("no %s", kind)
	return nil
}
