package grpcfence

import (
	"context"
	"fmt"

	"google.golang.org/grpc/metadata"

	"github.com/stile-dev/stile/fencing"
	"github.com/stile-dev/stile/fencing/internal/field"
)

// Key is the metadata key that carries a claim.
const Key = "fencing-token"

// outgoing returns ctx with its claim in the metadata to send, in place of any that is there, and the claim.
func outgoing(ctx context.Context) (context.Context, fencing.Claim, error) {
	claim, err := fencing.FromContext(ctx)
	if err != nil {
		return nil, claim, err
	}
	text, err := field.Format(claim)
	if err != nil {
		return nil, claim, err
	}
	md, ok := metadata.FromOutgoingContext(ctx) // a copy
	if !ok {
		md = metadata.MD{}
	}
	md.Set(Key, text)
	return metadata.NewOutgoingContext(ctx, md), claim, nil
}

// incoming is the claim that the call presents. ErrNoClaim says that it presents none.
func incoming(ctx context.Context) (fencing.Claim, error) {
	values := metadata.ValueFromIncomingContext(ctx, Key)
	switch len(values) {
	case 0:
		return fencing.Claim{}, fmt.Errorf("fencing: %w: no metadata %s", fencing.ErrNoClaim, Key)
	case 1:
		return field.Parse(values[0])
	default:
		return fencing.Claim{}, fmt.Errorf("fencing: %w: %d values of %s, want one", fencing.ErrBadClaim, len(values), Key)
	}
}
