package check

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stile-dev/stile/internal/chaos/history"
)

// placed has the places of the lock a at /p/a/…, and those who stand in line for them at /q/a/…
var placed = Layout{
	Recipe: "rwlock", Data: "/data/", Reused: true,
	Entry: func(key string) (string, bool) {
		rest, ok := strings.CutPrefix(key, "/p/")
		name, _, _ := strings.Cut(rest, "/")
		return name, ok
	},
	Places: &Places{
		Line: func(key string) (name, id string, ok bool) {
			rest, ok := strings.CutPrefix(key, "/q/")
			name, id, _ = strings.Cut(rest, "/")
			return name, id, ok
		},
		Shared: func(key string) bool { return key != writer },
	},
}

const writer = "/p/a/w"

func reader(n int) string { return fmt.Sprintf("/p/a/r%d", n) }

func newPlaced(t *testing.T) *story {
	t.Helper()
	s := newStory(t)
	s.layout = placed
	return s
}

func (s *story) event(ms int, e history.Event) {
	e.Seen = at(ms)
	s.Events = append(s.Events, e)
}

// stands is the entry of the acquisition id, and leaves its end.
func (s *story) stands(ms int, rev int64, id string) {
	s.event(ms, history.Event{Rev: rev, Key: "/q/a/" + id, Create: rev})
}

func (s *story) moves(ms int, rev int64, id string) {
	s.event(ms, history.Event{Rev: rev, Key: "/q/a/" + id, Delete: true})
}

// takes is the place at key, given to id.
func (s *story) takes(ms int, rev int64, key, id string) {
	s.event(ms, history.Event{Rev: rev, Key: key, Create: rev, Lease: 100 + rev, Value: fmt.Sprintf(`{"id":%q}`, id)})
}

func (s *story) frees(ms int, rev int64, key string) {
	s.event(ms, history.Event{Rev: rev, Key: key, Delete: true})
}

// at key, by a client that reads if the place is a reader's.
func (s *story) does(client int, kind string, from, to int, token int64, key string) *history.Op {
	op := s.op(client, kind, from, to, token)
	op.Key, op.Shared = key, key != writer
	return op
}

func (s *story) thinks(client, from, to int, token int64, key string) *history.Belief {
	b := s.believes(client, from, to, token)
	b.Key, b.Shared = key, key != writer
	return b
}

// readAndWrite: a writer, then two readers at once who have waited, then the writer that stood behind them.
func readAndWrite(t *testing.T) *story {
	t.Helper()
	s := newPlaced(t)
	s.takes(110, 5, writer, "A")
	s.does(0, history.Acquire, 100, 112, 5, writer)
	s.stands(115, 6, "B")
	s.stands(116, 7, "C")
	s.stands(117, 8, "D")
	w := s.does(0, history.Write, 120, 122, 5, writer)
	w.Rev = 9
	s.event(121, history.Event{Rev: 9, Key: "/data/a", Create: 9, Value: Stamp(5, *w)})
	s.thinks(0, 112, 129, 5, writer)
	s.frees(131, 10, writer)
	s.does(0, history.Release, 130, 132, 5, writer)
	s.moves(140, 11, "B")
	s.moves(140, 11, "C")
	s.takes(140, 11, reader(0), "B")
	s.takes(140, 11, reader(1), "C")
	for n := range 2 {
		s.does(1+n, history.Acquire, 114, 141, 11, reader(n))
		r := s.does(1+n, history.Fetch, 142, 143, 11, reader(n))
		r.Rev, r.Value = 11, Stamp(5, *w)
		s.thinks(1+n, 141, 149, 11, reader(n))
		s.frees(151+n, int64(12+n), reader(n))
		s.does(1+n, history.Release, 150, 154, 11, reader(n))
	}
	s.moves(160, 14, "D")
	s.takes(160, 14, writer, "D")
	s.does(3, history.Acquire, 113, 161, 14, writer)
	s.thinks(3, 161, 169, 14, writer)
	s.frees(171, 15, writer)
	s.does(3, history.Release, 170, 172, 14, writer)
	return s
}

func TestReadersAtOncePass(t *testing.T) {
	readAndWrite(t).want()
}

func TestAWriterBesideOthersIsFound(t *testing.T) {
	s := newPlaced(t)
	s.takes(110, 5, reader(0), "A")
	s.takes(120, 6, reader(1), "B")
	s.want()
	s.takes(130, 7, writer, "C")
	s.want("W1")
	s = newPlaced(t)
	s.takes(110, 5, writer, "A")
	s.takes(120, 6, reader(1), "B")
	s.want("W1")
}

func TestAPlaceThatIsWrittenTwiceIsFound(t *testing.T) {
	s := newPlaced(t)
	s.takes(110, 5, writer, "A")
	s.event(120, history.Event{Rev: 6, Key: writer, Create: 5, Value: `{"id":"B"}`})
	s.want("L1")
}

func TestWhoOvertakesIsFound(t *testing.T) {
	s := newPlaced(t)
	s.stands(110, 5, "A")
	s.stands(111, 6, "B")
	s.moves(120, 7, "B")
	s.takes(120, 7, writer, "B")
	s.want("F1")
	s = newPlaced(t)
	s.stands(110, 5, "A")
	s.takes(120, 6, reader(0), "Z") // it never stood in line
	s.want("F1")
}

// Who gives back one place for another in one transaction overtakes nobody.
func TestADowngradeOvertakesNobody(t *testing.T) {
	s := newPlaced(t)
	s.takes(110, 5, writer, "A")
	s.stands(111, 6, "B")
	s.frees(120, 7, writer)
	s.takes(120, 7, reader(0), "A")
	s.want()
	s = newPlaced(t)
	s.takes(110, 5, writer, "A")
	s.stands(111, 6, "B")
	s.frees(120, 7, writer)
	s.takes(121, 8, reader(0), "A") // in two
	s.want("F1")
}

func TestAReadOutOfTurnIsFound(t *testing.T) {
	s := readAndWrite(t)
	s.last(history.Fetch).Rev = 13 // it had just been given back
	s.want("R1")
	s = readAndWrite(t)
	s.last(history.Fetch).Value = ""
	s.want("R1")
}

func TestAReadersWriteIsFound(t *testing.T) {
	s := readAndWrite(t)
	w := s.does(4, history.Write, 200, 205, 16, reader(0))
	w.Rev = 17
	s.takes(190, 16, reader(0), "E")
	s.event(200, history.Event{Rev: 17, Key: "/data/a", Create: 9, Value: Stamp(16, *w)})
	s.want("M1")
}

func TestBelieversAreApartByMode(t *testing.T) {
	s := newPlaced(t)
	s.takes(110, 5, reader(0), "A")
	s.takes(111, 6, reader(1), "B")
	s.thinks(0, 112, 500, 5, reader(0))
	s.thinks(1, 113, 300, 6, reader(1))
	s.want()
	s.thinks(2, 400, 450, 7, writer)
	s.want("M5")
}

// A place's name is used again: an operator who took it away once does not excuse what becomes of it later.
func TestABreachIsForOneHold(t *testing.T) {
	s := newPlaced(t)
	s.takes(110, 5, writer, "A")
	s.does(0, history.Acquire, 100, 112, 5, writer)
	s.thinks(0, 112, 900, 5, writer)
	s.frees(300, 6, writer)
	s.fault(history.Fault{Kind: "key deleted", Breach: true, Keys: []string{writer}, Rev: 6}, 290, 310)
	s.want()
	s.takes(1110, 7, writer, "B")
	s.does(1, history.Acquire, 1100, 1112, 7, writer)
	s.thinks(1, 1112, 1900, 7, writer)
	s.frees(1300, 8, writer)
	s.want("M5")
}

func TestSetsInPartsAreFound(t *testing.T) {
	set := func() *story {
		s := newStory(t)
		s.layout.Sets = true
		for _, name := range []string{"a", "b"} {
			s.event(110, history.Event{Rev: 5, Key: entries + name + "/A", Create: 5})
		}
		return s
	}
	s := set()
	for _, name := range []string{"a", "b"} {
		s.event(120, history.Event{Rev: 6, Key: entries + name + "/A", Delete: true})
	}
	s.want()
	s.Events[3].Rev = 7
	s.want("A1")
	s.fault(history.Fault{Kind: "key deleted", Breach: true, Keys: []string{entries + "a/A"}, Rev: 6}, 119, 121)
	s.want()
	s = set()
	s.event(120, history.Event{Rev: 6, Key: entries + "c/A", Create: 6})
	s.want("A1")
}

// Two that wait for each other wait for ever; whoever waits for one that waits for a holder does not.
func TestADeadlockIsFoundAndAConvoyIsNone(t *testing.T) {
	s := newStory(t)
	s.layout.Sets = true
	join := func(name, id string, rev int64) {
		s.event(100, history.Event{Rev: rev, Key: entries + name + "/" + id, Create: rev})
	}
	wait := func(client int, name string) {
		op := s.op(client, history.Acquire, 90, 15000, 0)
		op.Name, op.Result = name, history.Fail
	}
	join("b", "H", 4) // the holder of b
	join("a", "A", 5)
	join("b", "A", 5)
	wait(0, "a")
	wait(0, "b")
	held := s.believes(1, 100, 14000, 4)
	held.Name, held.Key = "b", entries+"b/H"
	s.want()
	held.Err, held.Context = at(200), at(200)
	s.want("V1")
}
