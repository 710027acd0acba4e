package fencing

import "fmt"

// Claim is what a holder presents to the resource that it holds.
type Claim struct {
	// Resource is what is held, by kind and name: "lock/reports/nightly". Tokens are
	// compared only with tokens of the same resource.
	Resource string `json:"resource"`

	// Token is the fencing token of the hold.
	Token Token `json:"token"`

	// Mode says what the hold allows.
	Mode Mode `json:"mode"`

	// Key is what a guard inside the lock service's own store compares. It means
	// nothing elsewhere, and is not marshalled.
	Key string `json:"-"`

	err func() error // why the hold has ended; nil for an unbound claim
}

// Bind returns the claim tied to the hold behind it: err tells why that hold has
// ended, or nil while it stands. Guards call it before every use, from many
// goroutines, and wait for it. A nil err unties the claim.
func (c Claim) Bind(err func() error) Claim {
	c.err = err
	return c
}

// Err tells why the hold behind the claim has ended, or nil while it stands. It is nil
// for an unbound claim (one that came over a wire, say), of which nothing is known
// here: the resource's check decides.
func (c Claim) Err() error {
	if c.err == nil {
		return nil
	}
	return c.err()
}

// valid refuses what no guard may let through, whatever its resource has seen.
func (c Claim) valid() error {
	switch {
	case c.Resource == "":
		return fmt.Errorf("fencing: %w: it names no resource", ErrBadClaim)
	case c.Token.IsZero():
		return fmt.Errorf("fencing %q: %w: the claim has no token", c.Resource, ErrNoClaim)
	case !c.Mode.known():
		return fmt.Errorf("fencing %q: %w: %v", c.Resource, ErrBadClaim, c.Mode)
	}
	if err := c.Err(); err != nil {
		return fmt.Errorf("fencing %q: %w: %w", c.Resource, ErrEnded, err)
	}
	return nil
}
