package main

import (
	"fmt"
	"math"
)

// goal is what a figure of ours is wanted to be.
type goal struct {
	kind  goalKind
	limit float64
	of    string // the other scenario, of withinOther
}

type goalKind int

const (
	ratioAtLeast goalKind = iota // of ours to the other system's
	ratioAtMost
	nothing     // ours is 0
	withinOther // ours is at most limit times ours in the scenario of
)

func atLeast(ratio float64) *goal { return &goal{kind: ratioAtLeast, limit: ratio} }

func atMost(ratio float64) *goal { return &goal{kind: ratioAtMost, limit: ratio} }

// none is the goal that there be none.
func none() *goal { return &goal{kind: nothing} }

// steady is the goal that it be no more than half as much again as in another scenario.
func steady(of string) *goal { return &goal{kind: withinOther, limit: 1.5, of: of} }

// String is how the table shows it.
func (g *goal) String() string {
	switch g.kind {
	case ratioAtLeast:
		return fmt.Sprintf(">= %gx", g.limit)
	case ratioAtMost:
		return fmt.Sprintf("<= %gx", g.limit)
	case nothing:
		return "0"
	default:
		return fmt.Sprintf("<= %gx %s", g.limit, g.of)
	}
}

// verdict is whether a goal is met.
type verdict string

const (
	met       verdict = "met"
	missed    verdict = "missed"
	undecided verdict = "not measured"
)

// judge compares ours with the goal: ratio is of ours to the other system's, other ours in the scenario that the goal names. NaN
// stands for what was not measured.
func (g *goal) judge(ours, ratio, other float64) verdict {
	ok, value := false, ratio
	switch g.kind {
	case ratioAtLeast:
		ok = ratio >= g.limit
	case ratioAtMost:
		ok = ratio <= g.limit
	case nothing:
		ok, value = ours == 0, ours
	case withinOther:
		ok, value = ours <= g.limit*other, ours*other
	}
	switch {
	case math.IsNaN(value):
		return undecided
	case ok:
		return met
	}
	return missed
}
