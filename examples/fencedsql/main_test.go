package main

import (
	"context"
	"testing"

	"github.com/stile-dev/stile/recipes/recipestest"
)

func TestMain(m *testing.M) { recipestest.Main(m) }

// TestALatePayerIsRefused is how a program tests that what it writes is guarded.
func TestALatePayerIsRefused(t *testing.T) {
	client := recipestest.Client(t)
	a, err := openAccount(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer a.close()
	recipestest.Zombie(t, client, func(pause recipestest.Pause) error {
		return payer(t.Context(), client, "first", func(ctx context.Context) error {
			return a.pay(ctx, 60, func(ctx context.Context) (context.Context, error) { return pause(ctx), nil })
		})
	}, func() error {
		return payer(t.Context(), client, "second", func(ctx context.Context) error { return a.pay(ctx, 70, transfer) })
	})
	if got, err := a.balance(t.Context()); got != 30 || err != nil {
		t.Errorf("in the account: %d, %v, want 30", got, err)
	}
}
