package fencing_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/stile-dev/stile/fencing"
)

// A holder is paused, another takes over, and the first one's write arrives late.
func Example() {
	var gate fencing.Memory // the resource's side
	balance := 100

	// The context of a hold carries such a claim already.
	hold := func(rev int64) context.Context {
		return fencing.NewContext(context.Background(),
			fencing.Claim{Resource: "lock/account", Token: fencing.FromRevision(rev)})
	}
	withdraw := func(ctx context.Context, amount int) error {
		return gate.Do(ctx, func() error {
			balance -= amount
			return nil
		})
	}

	paused, next := hold(41), hold(42)
	fmt.Println("seal:", gate.Seal(next)) // before it reads the balance
	fmt.Println("late:", withdraw(paused, 60))
	fmt.Println("next:", withdraw(next, 70))
	fmt.Println("balance:", balance)
	// Output:
	// seal: <nil>
	// late: fencing "lock/account": stale fencing token: 41 was presented, 42 was seen
	// next: <nil>
	// balance: 30
}

func ExampleFor() {
	ctx := fencing.NewContext(context.Background(),
		fencing.Claim{Resource: "lock/a", Token: fencing.FromRevision(11)},
		fencing.Claim{Resource: "lock/b", Token: fencing.FromRevision(12)})

	_, err := fencing.FromContext(ctx)
	fmt.Println(err)

	claim, err := fencing.FromContext(fencing.For(ctx, "lock/b"))
	fmt.Println(claim.Resource, claim.Token, err)
	// Output:
	// fencing: several claims in the context: "lock/a", "lock/b": choose one with fencing.For
	// lock/b 12 <nil>
}

func ExampleClaim_Bind() {
	var ended error
	claim := fencing.Claim{Resource: "lock/a", Token: fencing.FromRevision(11)}
	ctx := fencing.NewContext(context.Background(), claim.Bind(func() error { return ended }))

	_, err := fencing.FromContext(ctx)
	fmt.Println(err)

	ended = errors.New("lost: no answer from the store for 15s")
	_, err = fencing.FromContext(ctx)
	fmt.Println(err)
	// Output:
	// <nil>
	// fencing "lock/a": the hold is not in force: lost: no answer from the store for 15s
}

func ExampleClaim_overTheWire() {
	sent, _ := json.Marshal(fencing.Claim{Resource: "lock/a", Token: fencing.FromRevision(11), Key: "only for the store"})
	fmt.Println(string(sent))

	var received fencing.Claim
	err := json.Unmarshal(sent, &received)
	fmt.Println(received.Resource, received.Token, received.Mode, err)
	// Output:
	// {"resource":"lock/a","token":"11","mode":"exclusive"}
	// lock/a 11 exclusive <nil>
}

func ExampleParse() {
	for _, text := range []string{"48213", "2:48213.7", "048213"} {
		token, err := fencing.Parse(text)
		fmt.Println(token, token.Sortable(), err)
	}
	// Output:
	// 48213 00000000000000000000bc5500000000 <nil>
	// 2:48213.7 00000002000000000000bc5500000007 <nil>
	// 0 00000000000000000000000000000000 fencing: not a fencing token: "048213"
}

func ExampleToken_Compare() {
	before, after := fencing.FromRevision(9), fencing.FromRevision(10)
	restored, _ := fencing.Parse("1:3") // a later restore epoch counts more than any revision
	fmt.Println(before.Compare(after), after.Compare(before), restored.Compare(after))
	fmt.Println(before.Sortable() < after.Sortable(), after.Sortable() < restored.Sortable())
	// Output:
	// -1 1 1
	// true true
}
