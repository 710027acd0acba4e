package check

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stile-dev/stile/internal/chaos/history"
)

// elected has the leader of a at /p/a/leader, which may be handed over, and what it proclaims beside that.
var elected = Layout{
	Recipe: "election", Data: "/data/", Reused: true,
	Entry: func(key string) (string, bool) { return "a", key == leader },
	Places: &Places{
		Line:       placed.Places.Line,
		Handed:     true,
		Proclaimed: func(key string) (string, bool) { return "a", key == leader+"!value" },
	},
}

const leader = "/p/a/leader"

// leads is the place, given to id; create is when somebody had it first.
func (s *story) leads(ms int, rev, create int64, id string) {
	s.event(ms, history.Event{Rev: rev, Key: leader, Create: create, Value: fmt.Sprintf(`{"id":%q,"value":%q}`, id, "of "+id)})
}

// saw is what client 9 saw.
func (s *story) saw(ms int, rev, term int64, id, value string) *history.Op {
	op := s.op(9, history.Observe, ms, ms, term)
	op.Set, op.Rev, op.Key, op.Value = 1, rev, id, value
	return op
}

// reigned: A leads, proclaims, hands over to B, and then nobody leads.
func reigned(t *testing.T) *story {
	t.Helper()
	s := newStory(t)
	s.layout = elected
	s.leads(100, 5, 5, "A")
	s.event(110, history.Event{Rev: 6, Key: leader + "!value", Create: 6, Value: "v"})
	s.leads(120, 7, 5, "B")
	s.event(120, history.Event{Rev: 7, Key: leader + "!value", Delete: true})
	s.frees(130, 8, leader)
	s.saw(101, 5, 5, "A", "of A")
	s.saw(121, 7, 7, "B", "of B")
	s.saw(131, 8, 0, "", "")
	return s
}

func TestAHandOverIsATermOfItsOwn(t *testing.T) {
	reigned(t).want()
	s := reigned(t)
	s.leads(140, 9, 9, "C")
	s.leads(150, 10, 9, "C") // nobody else: it was written during a term
	s.want("L1")
}

func TestWhatObserversSawIsChecked(t *testing.T) {
	for what, wrong := range map[string]func(s *story){
		"a value that was never so":  func(s *story) { s.Ops[0].Value = "of B" },
		"a leader too late":          func(s *story) { s.Ops[0].Rev = 7 },
		"nobody, in a hand-over":     func(s *story) { s.Ops[1].Token, s.Ops[1].Key, s.Ops[1].Value = 0, "", "" },
		"what was so before":         func(s *story) { s.saw(140, 6, 5, "A", "v") },
		"the same once more":         func(s *story) { s.saw(140, 9, 0, "", "") },
		"the value of one before it": func(s *story) { s.Ops[1].Value = "v" },
	} {
		s := reigned(t)
		wrong(s)
		if v := s.want("O1"); len(v.Violations) == 0 {
			t.Error(what)
		}
	}
}

func TestWorkThatOutlastsItsTermIsFound(t *testing.T) {
	s := reigned(t)
	op := s.op(0, history.Work, 102, 119, 5)
	op.Key = leader
	s.want()
	op.Return = at(125)
	s.want("E2")
	op.Result = history.Fail // it had been told that the term was lost
	s.want()
	op.Result = history.OK
	s.Stalls = []history.Stall{{Who: op.Who, From: at(50), To: at(130)}}
	s.want()
}

// The limit of a is at /limit/a; its slots are a#0 and so on.
func limited(t *testing.T) *story {
	t.Helper()
	s := newStory(t)
	s.layout = placed
	s.layout.Entry = func(key string) (string, bool) {
		slot, ok := strings.CutPrefix(key, "/p/a/")
		return "a#" + slot, ok
	}
	s.layout.Places = &Places{
		Line:  placed.Places.Line,
		Queue: func(name string) string { return strings.Split(name, "#")[0] },
		Limit: func(key string) (string, bool) { return "a", key == "/limit/a" },
	}
	s.limits(100, 5, "2")
	return s
}

func (s *story) limits(ms int, rev int64, n string) {
	s.event(ms, history.Event{Rev: rev, Key: "/limit/a", Create: rev, Value: n + " {}"})
}

func TestMorePermitsThanTheLimitAreFound(t *testing.T) {
	s := limited(t)
	s.takes(110, 6, "/p/a/0", "A")
	s.takes(111, 7, "/p/a/1", "B")
	s.limits(112, 8, "1") // nobody is evicted
	s.want()
	s.frees(113, 9, "/p/a/0")
	s.takes(114, 10, "/p/a/0", "C") // one is held, and one is allowed
	s.want("S1")
}

func TestOneOfSeveralSlotsOvertakesNobody(t *testing.T) {
	s := limited(t)
	s.stands(110, 6, "A")
	s.takes(111, 7, "/p/a/1", "Z")
	s.want("F1")
}
