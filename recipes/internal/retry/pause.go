package retry

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/cenkalti/backoff/v4"
)

// The pauses between attempts grow from first to longest, each drawn at random around its value so that
// many clients which failed together don't come back together.
const (
	first   = 25 * time.Millisecond
	longest = 2 * time.Second
)

// Pause yields the pauses between attempts, without an end.
type Pause struct {
	*backoff.ExponentialBackOff
	ctx context.Context // says where the randomness comes from
}

// Pauses yields pauses with the randomness of ctx.
func Pauses(ctx context.Context) Pause {
	return Pause{backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(first), backoff.WithMaxInterval(longest), backoff.WithRandomizationFactor(0),
		backoff.WithMultiplier(2), backoff.WithMaxElapsedTime(0),
	), ctx}
}

// NextBackOff is the next pause: half as long as it is due, or up to half as much again.
func (p Pause) NextBackOff() time.Duration {
	due := p.ExponentialBackOff.NextBackOff()
	return due/2 + Jitter(p.ctx, due)
}

type randKey struct{}

// WithRand has whatever waits with the ctx draw its random part from draw, which yields numbers in [0, 1): a simulation that is to
// be repeated exactly has one of its own. Nil stands for math/rand/v2.
func WithRand(ctx context.Context, draw func() float64) context.Context {
	if draw == nil {
		return ctx
	}
	return context.WithValue(ctx, randKey{}, draw)
}

// Jitter is a random duration below d.
func Jitter(ctx context.Context, d time.Duration) time.Duration {
	draw, ok := ctx.Value(randKey{}).(func() float64)
	if !ok {
		draw = rand.Float64
	}
	return time.Duration(draw() * float64(d))
}
