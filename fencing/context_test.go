package fencing_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/stile-dev/stile/fencing"
)

var errGone = errors.New("the lease is lost")

// noContext is what a caller passes who forgot to set a context.
var noContext context.Context

func claim(resource string, rev int64) fencing.Claim {
	return fencing.Claim{Resource: resource, Token: fencing.FromRevision(rev)}
}

func shared(resource string, rev int64) fencing.Claim {
	return fencing.Claim{Resource: resource, Token: fencing.FromRevision(rev), Mode: fencing.Shared}
}

func resources(ctx context.Context) []string {
	var names []string
	for _, c := range fencing.Claims(ctx) {
		names = append(names, c.Resource+"@"+c.Token.String())
	}
	return names
}

func TestAContextCarriesClaimsInOrderOfAdding(t *testing.T) {
	outer := fencing.NewContext(t.Context(), claim("a", 1), claim("b", 2))
	inner := fencing.NewContext(outer, claim("c", 3), claim("a", 4), claim("a", 5))
	if got, want := resources(inner), []string{"b@2", "c@3", "a@5"}; !slices.Equal(got, want) {
		t.Errorf("inner: got %v, want %v", got, want)
	}
	if got, want := resources(outer), []string{"a@1", "b@2"}; !slices.Equal(got, want) {
		t.Errorf("the outer context changed: got %v, want %v", got, want)
	}
	if got := resources(fencing.NewContext(inner)); len(got) != 3 {
		t.Errorf("adding nothing: got %v, want all three", got)
	}
}

func TestSlicesOfClaimsAreNotShared(t *testing.T) {
	given := []fencing.Claim{claim("a", 1)}
	ctx := fencing.NewContext(t.Context(), given...)
	given[0] = claim("evil", 9)
	fencing.Claims(ctx)[0] = claim("evil", 9)
	_ = append(fencing.Claims(ctx)[:0], claim("evil", 9))
	if got, want := resources(ctx), []string{"a@1"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestTheOnlyClaimIsUsed(t *testing.T) {
	c, err := fencing.FromContext(fencing.NewContext(t.Context(), claim("lock/a", 7)))
	if err != nil || c.Resource != "lock/a" || c.Token != fencing.FromRevision(7) {
		t.Errorf("got %v, %v, want lock/a 7", c, err)
	}
}

func TestFromContextFailsClosed(t *testing.T) {
	two := fencing.NewContext(t.Context(), claim("lock/a", 1), claim("lock/b", 2))
	gone := claim("lock/a", 1).Bind(func() error { return errGone })
	only := func(c fencing.Claim) context.Context { return fencing.NewContext(t.Context(), c) }
	for name, test := range map[string]struct {
		ctx   context.Context
		want  error
		names []string
	}{
		"no context":               {noContext, fencing.ErrNoClaim, nil},
		"no claim":                 {t.Context(), fencing.ErrNoClaim, []string{"held.Context()", "not the one from outside"}},
		"nothing added":            {fencing.NewContext(t.Context()), fencing.ErrNoClaim, nil},
		"several":                  {two, fencing.ErrAmbiguousClaim, []string{`"lock/a"`, `"lock/b"`, "fencing.For"}},
		"several, one ended":       {fencing.NewContext(two, gone), fencing.ErrAmbiguousClaim, nil},
		"For what is not there":    {fencing.For(two, "lock/c"), fencing.ErrNoClaim, []string{`"lock/c"`, `only "lock/a", "lock/b"`}},
		"For of nothing":           {fencing.For(t.Context(), "lock/c"), fencing.ErrNoClaim, []string{`"lock/c"`, "held.Context()"}},
		"For of no context":        {fencing.For(noContext, "lock/c"), fencing.ErrNoClaim, []string{`"lock/c"`}},
		"For of the empty name":    {fencing.For(two, ""), fencing.ErrNoClaim, []string{`""`}},
		"For twice":                {fencing.For(fencing.For(two, "lock/a"), "lock/b"), fencing.ErrNoClaim, []string{`"lock/b"`}},
		"nothing added after For":  {fencing.NewContext(fencing.For(two, "lock/c")), fencing.ErrNoClaim, []string{`"lock/c"`}},
		"ended":                    {only(gone), fencing.ErrEnded, []string{`"lock/a"`, errGone.Error()}},
		"ended, by its own reason": {only(gone), errGone, nil},
		"For what has ended":       {fencing.For(fencing.NewContext(two, gone), "lock/a"), fencing.ErrEnded, nil},
		"zero claim":               {only(fencing.Claim{}), fencing.ErrBadClaim, nil},
		"empty resource":           {only(claim("", 1)), fencing.ErrBadClaim, nil},
		"zero token":               {only(claim("lock/a", 0)), fencing.ErrNoClaim, []string{`"lock/a"`}},
		"unknown mode":             {only(fencing.Claim{Resource: "a", Token: fencing.FromRevision(1), Mode: 7}), fencing.ErrBadClaim, nil},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := fencing.FromContext(test.ctx)
			if !errors.Is(err, test.want) {
				t.Fatalf("got %v, want %v", err, test.want)
			}
			if c.Resource != "" || !c.Token.IsZero() {
				t.Errorf("got the claim %v together with the error", c)
			}
			for _, name := range test.names {
				if !strings.Contains(err.Error(), name) {
					t.Errorf("the error does not say %s: %v", name, err)
				}
			}
		})
	}
}

func TestForChoosesAmongClaims(t *testing.T) {
	two := fencing.NewContext(t.Context(), claim("lock/a", 1), claim("lock/b", 2))
	narrow := fencing.For(two, "lock/b")
	if c, err := fencing.FromContext(narrow); err != nil || c.Resource != "lock/b" {
		t.Errorf("got %v, %v, want lock/b", c, err)
	}
	if got, want := resources(narrow), []string{"lock/b@2"}; !slices.Equal(got, want) {
		t.Errorf("claims: got %v, want %v", got, want)
	}
	added := fencing.NewContext(fencing.For(two, "lock/c"), claim("lock/c", 3))
	if c, err := fencing.FromContext(added); err != nil || c.Resource != "lock/c" {
		t.Errorf("a claim added later: got %v, %v, want lock/c", c, err)
	}
}

func TestAMissingContextCarriesNothing(t *testing.T) {
	if got := fencing.Claims(noContext); len(got) != 0 {
		t.Errorf("Claims: got %v, want none", got)
	}
	if ctx := fencing.NewContext(noContext); ctx == nil {
		t.Error("NewContext: got nil")
	}
	if c, err := fencing.FromContext(fencing.NewContext(noContext, claim("a", 1))); err != nil || c.Resource != "a" {
		t.Errorf("FromContext: got %v, %v, want a", c, err)
	}
}

func TestAClaimFollowsItsHold(t *testing.T) {
	var ended error
	ctx := fencing.NewContext(t.Context(), claim("a", 1).Bind(func() error { return ended }))
	if _, err := fencing.FromContext(ctx); err != nil {
		t.Fatalf("while the hold stands: %v", err)
	}
	ended = errGone
	if _, err := fencing.FromContext(ctx); !errors.Is(err, fencing.ErrEnded) || !errors.Is(err, errGone) {
		t.Errorf("after its end: got %v, want ErrEnded and its reason", err)
	}
	if err := fencing.Claims(ctx)[0].Err(); !errors.Is(err, errGone) {
		t.Errorf("Err: got %v, want %v", err, errGone)
	}
	if err := fencing.Claims(ctx)[0].Bind(nil).Err(); err != nil {
		t.Errorf("an untied claim: got %v, want nil", err)
	}
}
