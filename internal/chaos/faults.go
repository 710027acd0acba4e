package chaos

import (
	"time"

	"github.com/stile-dev/stile/internal/chaos/check"
	"github.com/stile-dev/stile/internal/chaos/history"
)

const ms = time.Millisecond

// kinds are all faults there are. Those that last as long as a lease does are given for one of a second.
var kinds = []*kind{
	{name: "server killed", lane: laneServer, weight: 3, least: 0, most: 3 * time.Second, inflict: killServer},
	{name: "server stopped and started", lane: laneServer, weight: 1, least: 0, most: time.Second, inflict: restartServer},
	{name: "server killed again and again", lane: laneServer, weight: 1, least: 2 * time.Second, most: 4 * time.Second, inflict: killServerOften},
	{name: "server paused", lane: laneServer, weight: 3, least: 300 * ms, most: 2500 * ms, inTTLs: true, inflict: pauseServer},
	{
		name: "slow disk", lane: laneServer, weight: 2, least: 2 * time.Second, most: 6 * time.Second, inflict: slowDisk,
		needs: func(m machine) bool { return m.slowDisk && !m.smallDisk },
	},
	{
		name: "full disk", lane: laneServer, weight: 3, least: time.Second, most: 4 * time.Second, inflict: fullDisk,
		needs: func(m machine) bool { return m.smallDisk },
	},
	{name: "leader moved", lane: laneServer, weight: 4, inflict: moveLeader, needs: several},
	{name: "member cut off", lane: laneServer, weight: 4, least: 300 * ms, most: 2000 * ms, inTTLs: true, inflict: cutOff, needs: several},
	{name: "member hears nothing", lane: laneServer, weight: 2, least: 300 * ms, most: 2000 * ms, inTTLs: true, inflict: deaf, needs: several},
	{name: "one way between two members cut", lane: laneServer, weight: 2, least: 300 * ms, most: 2000 * ms, inTTLs: true, inflict: cutWay, needs: several},
	{name: "members cut off from each other", lane: laneServer, weight: 2, least: 100 * ms, most: 1500 * ms, inTTLs: true, inflict: noQuorum, needs: several},

	{name: check.KindKill, lane: laneClient, weight: 4, least: 0, most: 2 * time.Second, inflict: killClient},
	{name: "client killed again and again", lane: laneClient, weight: 1, least: time.Second, most: 3 * time.Second, inflict: killClientOften},
	{name: "client paused", lane: laneClient, weight: 4, least: 300 * ms, most: 2500 * ms, inTTLs: true, inflict: pauseClient},

	{name: "partition", lane: laneNetwork, weight: 3, least: 300 * ms, most: 2500 * ms, inTTLs: true, inflict: partition},
	{name: "partition of all clients", lane: laneNetwork, weight: 1, least: 1000 * ms, most: 2500 * ms, inTTLs: true, inflict: partitionAll},
	{name: "partition, connections lost", lane: laneNetwork, weight: 3, least: 300 * ms, most: 2500 * ms, inTTLs: true, inflict: silence},
	{name: "answers lost", lane: laneNetwork, weight: 3, least: 100 * ms, most: 2000 * ms, inTTLs: true, inflict: loseAnswers},
	{name: "requests lost", lane: laneNetwork, weight: 2, least: 100 * ms, most: 2000 * ms, inTTLs: true, inflict: loseRequests},
	{name: "requests late", lane: laneNetwork, weight: 3, least: 100 * ms, most: 2000 * ms, inTTLs: true, inflict: lateRequests},
	{name: "answers slow", lane: laneNetwork, weight: 2, least: time.Second, most: 5 * time.Second, inflict: slowAnswers},
	{name: "requests late, on lost connections", lane: laneNetwork, weight: 4, least: 500 * ms, most: 3 * time.Second, inflict: orphans},
	{name: "answers slow, then none", lane: laneNetwork, weight: 1, least: 2600 * ms, most: 2900 * ms, inTTLs: true, inflict: fade},
	{name: "answers slow, connections reset", lane: laneNetwork, weight: 2, least: time.Second, most: 5 * time.Second, inflict: slowResets},
	{name: "connections reset", lane: laneNetwork, weight: 2, least: 200 * ms, most: 3 * time.Second, inflict: resets},

	{name: "lease revoked", lane: laneOperator, weight: 2, inflict: revoke},
	{name: "key deleted", lane: laneOperator, weight: 2, inflict: deleteKey},
	{name: "waiter removed", lane: laneOperator, weight: 2, inflict: removeWaiter},
	{name: "compaction", lane: laneOperator, weight: 3, least: time.Second, most: 6 * time.Second, inflict: compactOften},
	{name: "defragmentation", lane: laneOperator, weight: 1, inflict: defragment},
}

// Kinds are the names of all faults.
func Kinds() (names []string) {
	for _, k := range kinds {
		names = append(names, k.name)
	}
	return names
}

// wait lasts as long as the fault.
func (r *round) wait(a *act) { sleep(r.ctx, a.lasts) }

// begin is the record of a fault that begins now.
func (a *act) begin() *history.Fault {
	return &history.Fault{Kind: a.kind.name, From: history.Now()}
}

// end records a fault, when it is over.
func (r *round) end(f *history.Fault) {
	f.To = history.Now()
	r.out.Write(history.Record{Fault: f})
	r.count(f.Kind)
}
