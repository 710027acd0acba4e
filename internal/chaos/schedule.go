package chaos

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"time"
)

// Faults come in lanes: in each there is one at a time, so that no two of them are at cross purposes, and all lanes go at once.
const (
	laneServer = iota
	laneClient
	laneNetwork
	laneOperator
	lanes
)

// A kind is one way in which things go wrong.
type kind struct {
	name    string
	lane    int
	weight  int
	least   time.Duration // how long it lasts
	most    time.Duration // or in TTLs, when inTTLs
	inTTLs  bool
	needs   func(m machine) bool
	inflict func(r *round, a *act) error
}

// machine is what is possible here, in this run.
type machine struct {
	members   int
	slowDisk  bool
	smallDisk bool
}

// An act is one fault that is to happen.
type act struct {
	kind  *kind
	at    time.Duration // since the faults began
	lasts time.Duration
	rand  *rand.Rand // for its aim, and other choices
}

// schedule draws what goes wrong within total. The same seed draws the same.
func schedule(seed uint64, p Plan, m machine, total time.Duration) []*act {
	var acts []*act
	for lane := range lanes {
		var choice []*kind
		for _, k := range kinds {
			if k.lane != lane || k.needs != nil && !k.needs(m) || len(p.Kinds) > 0 && !slices.Contains(p.Kinds, k.name) {
				continue
			}
			for range k.weight {
				choice = append(choice, k)
			}
		}
		if len(choice) > 0 {
			acts = append(acts, p.lane(rand.New(rand.NewPCG(seed, uint64(lane))), choice, total)...)
		}
	}
	slices.SortStableFunc(acts, func(a, b *act) int { return cmp.Compare(a.at, b.at) })
	return acts
}

// lane draws one fault after the other.
func (p Plan) lane(r *rand.Rand, choice []*kind, total time.Duration) (acts []*act) {
	at := upTo(r, p.Gap)
	for {
		k := pick(r, choice...)
		unit := time.Duration(1)
		least, most := k.least, k.most
		if k.inTTLs {
			unit = p.TTL / time.Second
		}
		lasts := (least + upTo(r, most-least)) * unit
		if at+lasts > total {
			return acts
		}
		acts = append(acts, &act{kind: k, at: at, lasts: lasts, rand: rand.New(rand.NewPCG(r.Uint64(), 0))})
		at += lasts + upTo(r, p.Gap)
	}
}
