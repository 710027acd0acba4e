package check

import (
	"testing"
	"time"

	"github.com/stile-dev/stile/internal/chaos/history"
)

func TestAGoodHistoryPasses(t *testing.T) {
	v := good(t).want()
	if v.Ops[history.Acquire] != 2 || v.Events != 7 {
		t.Errorf("%d acquisitions and %d events were counted", v.Ops[history.Acquire], v.Events)
	}
}

func TestAWriteOutOfTurnIsFound(t *testing.T) {
	s := good(t)
	s.writes(0, 185, 188, 5, 12) // the first holder, after the second one
	s.want("M1", "P")
	s = good(t)
	s.writes(1, 205, 210, 6, 12) // nobody holds it
	s.want("M1", "P")
}

func TestAWriteByAWaiterIsFound(t *testing.T) {
	s := newStory(t)
	s.joins(110, 5)
	s.joins(120, 6)
	s.writes(1, 130, 140, 6, 7)
	s.want("M1", "P")
}

func TestAStaleWriteThatTheStoreAdmittedIsFound(t *testing.T) {
	s := good(t)
	s.Stored = []history.Stored{{Resource: "a", Token: 6, Admitted: true}, {Resource: "a", Token: 5}}
	if v := s.want(); v.Stale != 1 {
		t.Errorf("%d stale writes, want 1", v.Stale)
	}
	s.Stored[1].Admitted = true
	s.want("M1")
}

func TestTokensThatFallAreFound(t *testing.T) {
	s := good(t)
	s.op(2, history.Acquire, 300, 310, 4)
	s.want("M2", "M4", "P")
}

func TestATokenThatNobodyHadIsFound(t *testing.T) {
	s := good(t)
	s.last(history.Acquire).Token = 7 // the revision of some answer
	s.want("M4", "P")
}

func TestAHolderThatWasNeverAtTheHeadIsFound(t *testing.T) {
	s := newStory(t)
	s.joins(110, 5)
	s.joins(120, 6)
	s.leaves(130, 7, 6)
	s.op(1, history.Acquire, 115, 140, 6)
	s.want("M4")
	s.fault(history.Fault{Kind: "waiter removed", Breach: true, Keys: []string{key(6)}}, 125, 135)
	s.want() // it may hear of it for a second
	s.last(history.Acquire).Return = at(1140)
	s.want("M4")
}

func TestAnAcquisitionThatHadEndedBeforeIsFound(t *testing.T) {
	s := newStory(t)
	s.joins(110, 5)
	s.leaves(120, 6, 5)
	s.op(0, history.Acquire, 150, 160, 5)
	s.want("M4")
}

func TestAReleaseOfSomebodyElsesHoldIsFound(t *testing.T) {
	s := newStory(t)
	s.joins(110, 5)
	s.op(0, history.Acquire, 100, 112, 5)
	s.believes(0, 112, 150, 5)
	s.passes(160, 6, 5) // no release, no operator
	s.want("M3")
	s.fault(history.Fault{Kind: "waiter removed", Breach: true, Keys: []string{key(5)}}, 155, 165)
	s.want()
}

func TestAReleaseAfterABreachMayBeToldThatItWorked(t *testing.T) {
	s := newStory(t)
	s.joins(110, 5)
	s.op(0, history.Acquire, 100, 130, 5)
	s.joins(120, 6)
	s.leaves(125, 7, 5)
	s.op(1, history.Acquire, 119, 126, 6)
	s.op(0, history.Release, 131, 140, 5)
	s.want("P")
	s.fault(history.Fault{Kind: "key deleted", Breach: true, Keys: []string{key(5)}}, 124, 126)
	s.want()
}

func TestAReleaseThatDidNothingIsFound(t *testing.T) {
	s := newStory(t)
	s.joins(110, 5)
	s.op(0, history.Acquire, 100, 112, 5)
	s.op(0, history.Release, 150, 161, 5)
	s.want("M3")
}

func TestABeliefBeyondTheHoldsEndIsFound(t *testing.T) {
	s := newStory(t)
	s.joins(110, 5)
	s.op(0, history.Acquire, 100, 112, 5)
	b := s.believes(0, 112, 3000, 5)
	s.leaves(3010, 6, 5)
	s.want()
	b.Err, b.Context = at(3011), at(3011)
	s.want("M5")
	s.Stalls = []history.Stall{{Who: b.Who, From: at(2000), To: at(3011)}}
	s.want("M5") // a process that did not run had no reason to say that it holds
	b.Err = at(2000)
	s.want() // but its context can't have ended
}

func TestABeliefAfterABreachHasASecond(t *testing.T) {
	s := newStory(t)
	s.joins(110, 5)
	s.op(0, history.Acquire, 100, 112, 5)
	b := s.believes(0, 112, 3900, 5)
	s.fault(history.Fault{Kind: "lease revoked", Breach: true, Lease: 105}, 2900, 3010)
	s.leaves(3000, 6, 5)
	if v := s.want(); v.AfterBreach.Max != 900*time.Millisecond {
		t.Errorf("after a breach %v, want 900 ms", v.AfterBreach.Max)
	}
	b.Err, b.Context = at(4100), at(4100)
	s.want("M5")
	s.fault(history.Fault{Kind: "partition", Clients: []int{0}}, 3500, 5000)
	s.want() // it can't have heard of it
}

// A leader that stood still ends leases that its successor has renewed: that is etcd's doing, and no clock can tell.
func TestALeaderThatStoodStillIsABreach(t *testing.T) {
	s := newStory(t)
	s.joins(110, 5)
	s.op(0, history.Acquire, 100, 112, 5)
	b := s.believes(0, 112, 5500, 5)
	s.leaves(5100, 6, 5)
	s.want("M5")
	s.fault(history.Fault{Kind: "server paused", Server: true, Stale: true}, 1000, 5000)
	s.want()
	b.Err, b.Context = at(6200), at(6200)
	s.want("M5")
}

func TestTwoBelieversAreFound(t *testing.T) {
	s := newStory(t)
	s.joins(110, 5)
	s.op(0, history.Acquire, 100, 112, 5)
	s.believes(0, 112, 150, 5)
	s.joins(115, 6)
	s.op(1, history.Acquire, 113, 120, 6) // it is told too early that the other has passed
	s.believes(1, 120, 180, 6)
	s.passes(160, 7, 5)
	s.op(0, history.Release, 151, 161, 5)
	s.want("M5", "P")
}

func TestALossThatIsTakenBackIsFound(t *testing.T) {
	s := good(t)
	s.Beliefs[0].Revived = at(140)
	s.want("M6")
}

func TestARevisionThatFallsIsFound(t *testing.T) {
	s := good(t)
	s.Events[len(s.Events)-1].Rev = 9
	s.want("D2")
}

func TestAnEntryThatComesBackIsFound(t *testing.T) {
	s := good(t)
	s.Events = append(s.Events, history.Event{Rev: 20, Key: key(5), Create: 20, Seen: at(300)})
	s.want("L1")
}

func TestWhatClientsAreToldOfWritesIsChecked(t *testing.T) {
	s := good(t)
	s.op(1, history.Write, 183, 184, 6).Rev = 30 // there is no such event
	s.want("D1")
	s = good(t)
	s.last(history.Write).Result = history.Fail // and yet it was written
	s.want("D1")
	s = good(t)
	s.last(history.Write).Result = history.Unknown
	if v := s.want(); v.Unknown != 1 || v.Resolved != 1 {
		t.Errorf("%d unknown, %d of them resolved", v.Unknown, v.Resolved)
	}
}

func TestAnOutlivedDeadlineIsFound(t *testing.T) {
	s := good(t)
	op := s.last(history.Acquire)
	op.Call = op.Return - at(1000)
	op.Deadline = op.Return - at(249)
	s.want()
	op.Deadline = op.Return - at(251)
	if v := s.want("V2"); v.Overrun.Max != 251*time.Millisecond {
		t.Errorf("overrun %v", v.Overrun.Max)
	}
	s.Stalls = []history.Stall{{Who: op.Who, From: op.Return - at(20), To: op.Return}}
	s.want()
	r := s.last(history.Release)
	r.Call = r.Return - at(4000)
	r.Deadline = r.Return - at(3200)
	s.want()
	r.Deadline = r.Return - at(3300)
	s.want("V2")
}

func TestACallThatNeverReturnsIsFound(t *testing.T) {
	s := good(t)
	op := s.op(2, history.Try, 300, 0, 0)
	op.Deadline, op.Result = at(400), history.Unknown
	s.want() // it was killed
	s.Ends = []history.End{{Who: op.Who, At: at(500)}}
	s.want("V2")
}

func TestAWaiterThatGetsNowhereIsFound(t *testing.T) {
	s := good(t)
	op := s.op(2, history.Acquire, 1000, 8500, 0)
	op.Result = history.Fail
	s.want("V1")
	s.fault(history.Fault{Kind: "partition", Clients: []int{2}}, 2000, 4000)
	s.want() // there were not 7 s without a fault
	s.Faults = nil
	s.believes(3, 2000, 6000, 0) // somebody held it meanwhile
	s.want()
}

func TestASlowHandOverIsFound(t *testing.T) {
	s := newStory(t)
	s.joins(110, 5)
	s.op(0, history.Acquire, 100, 112, 5)
	s.joins(120, 6)
	s.fault(history.Fault{Kind: KindKill, Clients: []int{0}, Keys: []string{key(5)}}, 5000, 5100)
	s.leaves(8900, 7, 5)
	s.op(1, history.Acquire, 115, 8910, 6)
	if v := s.want(); v.HandOver.Max != 3900*time.Millisecond {
		t.Errorf("hand-over %v", v.HandOver.Max)
	}
	s.Events[len(s.Events)-1].Seen = at(9100)
	s.last(history.Acquire).Return = at(9200)
	s.want("V3")
	s.fault(history.Fault{Kind: "server paused", Server: true}, 6000, 7000)
	s.want()
}

func TestWhatIsLeftIsFound(t *testing.T) {
	s := good(t)
	s.LeftKeys = []string{"/e/a/5"}
	s.want("X1")
	s = good(t)
	s.LeftLeases = 1
	s.want("X1")
	s = good(t)
	s.Ends = []history.End{{Leaks: []string{"a goroutine"}}}
	s.want("X1")
}

func TestAClosedSessionGivesBack(t *testing.T) {
	s := newStory(t)
	s.joins(110, 5)
	s.op(0, history.Acquire, 100, 112, 5).Session = 77
	s.joins(120, 6)
	s.believes(0, 112, 140, 5)
	s.op(0, history.Close, 141, 190, 0).Session = 77
	s.passes(160, 7, 5)
	s.op(1, history.Acquire, 115, 163, 6)
	s.op(0, history.Release, 170, 171, 5)
	s.want()
}
