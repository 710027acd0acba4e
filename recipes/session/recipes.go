package session

import (
	"context"
	"errors"

	"github.com/stile-dev/stile/recipes/internal/keep"
)

// This file is for the recipes of this module. What it exports has types that nobody else can name.

// Keeper is what a recipe works with. It fails if s is nil.
func Keeper(s *Session) (*keep.Keeper, error) { return keeper(s) }

// NewHold is the hold that a recipe hands out.
func NewHold(h *keep.Hold) *Hold { return &Hold{hold: h} }

// Exchange turns h into something else: see keep.Hold.Exchange.
func Exchange(ctx context.Context, h *Hold, swap, drop func(ctx context.Context) error) error {
	return h.hold.Exchange(ctx, swap, drop)
}

// End ends h for its holder, for the reason why. What stands in etcd stays until the release.
func End(h *Hold, why error) { h.hold.End(why) }

func keeper(s *Session) (*keep.Keeper, error) {
	if s == nil || s.keeper == nil {
		return nil, errors.New("session: it is nil: make one with session.Open")
	}
	return s.keeper, nil
}
