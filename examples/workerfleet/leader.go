package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/stile-dev/stile/recipes/election"
)

// planPrefix is where the plan stands: a key for each shard, with the name of who is to work on it.
const planPrefix = fleet + "/plan/"

func planKey(shard int) string { return fmt.Sprintf("%s%04d", planPrefix, shard) }

// A plan says who works on each shard.
type plan map[int]string

// lead keeps the plan in step with the fleet, as long as ctx, the term's, lasts.
func lead(ctx context.Context, client *clientv3.Client, term *election.Term, shards int) error {
	for state, err := range election.Watch(ctx, client, fleet) {
		if ctx.Err() != nil {
			return nil // the term is over, or this worker stops
		}
		if err != nil {
			return err
		}
		old, _, err := readPlan(ctx, client)
		if err != nil {
			return fmt.Errorf("read the plan: %w", err)
		}
		var changes []clientv3.Op
		for shard, name := range assign(old, members(state), shards) {
			if old[shard] != name {
				changes = append(changes, clientv3.OpPut(planKey(shard), name))
			}
		}
		for some := range slices.Chunk(changes, 100) { // etcd takes 128 in one transaction
			if _, err := term.Txn(ctx).Then(some...).Commit(); err != nil {
				return fmt.Errorf("write the plan: %w", err) // nothing of it was written, unless it says that this isn't known
			}
		}
	}
	return nil
}

// members are the names of all in the fleet: the leader and the candidates.
func members(state election.State) (names []string) {
	if state.Leader != nil {
		names = append(names, state.Leader.Value)
	}
	for _, one := range state.Candidates {
		names = append(names, one.Value)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// assign spreads the shards evenly over the members, and moves no more of them than it must.
func assign(old plan, members []string, shards int) plan {
	now, load := plan{}, map[string]int{}
	if len(members) == 0 {
		return now
	}
	most := (shards + len(members) - 1) / len(members)
	for shard := range shards {
		if name := old[shard]; slices.Contains(members, name) && load[name] < most {
			now[shard] = name
			load[name]++
		}
	}
	for shard := range shards {
		if _, ok := now[shard]; !ok {
			least := slices.MinFunc(members, func(a, b string) int { return load[a] - load[b] })
			now[shard] = least
			load[least]++
		}
	}
	return now
}

// readPlan reads the plan, and says of which revision it is.
func readPlan(ctx context.Context, client *clientv3.Client) (plan, int64, error) {
	resp, err := client.Get(ctx, planPrefix, clientv3.WithPrefix())
	if err != nil {
		return nil, 0, err
	}
	p := plan{}
	for _, kv := range resp.Kvs {
		if shard, err := strconv.Atoi(strings.TrimPrefix(string(kv.Key), planPrefix)); err == nil {
			p[shard] = string(kv.Value)
		}
	}
	return p, resp.Header.Revision, nil
}
