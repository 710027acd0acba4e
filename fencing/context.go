package fencing

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

type contextKey struct{}

// carried is what a context holds of this package. It is never changed once it is in
// a context.
type carried struct {
	claims []Claim
	absent *absence // what For did not find; claims is empty then
}

// absence is a claim that For was asked for and did not find, among others.
type absence struct {
	resource string
	others   []Claim
}

// outer is the commonest mistake.
const outer = "pass the hold's own context (the one that the work was given, or held.Context()), not the one from outside"

func (a absence) err() error {
	if len(a.others) == 0 {
		return fmt.Errorf("fencing %q: %w: %s", a.resource, ErrNoClaim, outer)
	}
	return fmt.Errorf("fencing %q: %w: it carries only %s", a.resource, ErrNoClaim, names(a.others))
}

// NewContext returns a context that carries claims in addition to those that ctx
// carries. A claim replaces an older one on the same resource, and then counts as
// added last. A nil ctx counts as context.Background.
func NewContext(ctx context.Context, claims ...Claim) context.Context {
	if len(claims) == 0 {
		return background(ctx)
	}
	all := Claims(ctx)
	for _, c := range claims {
		all = slices.DeleteFunc(all, func(old Claim) bool { return old.Resource == c.Resource })
		all = append(all, c)
	}
	return with(ctx, carried{claims: all})
}

// Claims returns the claims that ctx carries, in order of adding. The slice is the
// caller's own.
func Claims(ctx context.Context) []Claim {
	return slices.Clone(from(ctx).claims)
}

// For returns ctx narrowed to its claim on resource, which guards then use. If ctx
// carries none, the context it returns carries no claim at all, and guards fail with
// ErrNoClaim and the name of the resource. Narrow the hold's context each time: what
// was narrowed to one resource has nothing left of the others.
func For(ctx context.Context, resource string) context.Context {
	for _, c := range from(ctx).claims {
		if c.Resource == resource {
			return with(ctx, carried{claims: []Claim{c}})
		}
	}
	return with(ctx, carried{absent: &absence{resource, from(ctx).claims}})
}

// FromContext returns the one claim that ctx carries: the claim that a guard is to
// use. It never returns a claim together with an error, nor one that no guard may
// accept. Its errors are
//   - ErrNoClaim if there is none, or it has no token;
//   - ErrAmbiguousClaim if there are several, whatever their state;
//   - ErrBadClaim if it names no resource or has an unknown mode;
//   - ErrEnded, together with the claim's Err, if its hold has ended in this process.
func FromContext(ctx context.Context) (Claim, error) {
	has := from(ctx)
	switch {
	case len(has.claims) > 1:
		return Claim{}, fmt.Errorf("fencing: %w: %s: choose one with fencing.For", ErrAmbiguousClaim, names(has.claims))
	case len(has.claims) == 1:
		if err := has.claims[0].valid(); err != nil {
			return Claim{}, err
		}
		return has.claims[0], nil
	case has.absent != nil:
		return Claim{}, has.absent.err()
	default:
		return Claim{}, fmt.Errorf("fencing: %w: %s", ErrNoClaim, outer)
	}
}

func names(claims []Claim) string {
	quoted := make([]string, len(claims))
	for i, c := range claims {
		quoted[i] = fmt.Sprintf("%q", c.Resource)
	}
	return strings.Join(quoted, ", ")
}

func from(ctx context.Context) carried {
	if ctx == nil {
		return carried{}
	}
	has, _ := ctx.Value(contextKey{}).(carried)
	return has
}

func with(ctx context.Context, has carried) context.Context {
	return context.WithValue(background(ctx), contextKey{}, has)
}

func background(ctx context.Context) context.Context {
	if ctx == nil {
		return context.Background()
	}
	return ctx
}
