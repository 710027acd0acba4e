package httpfence_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/stile-dev/stile/fencing"
	"github.com/stile-dev/stile/fencing/httpfence"
)

// A holder is paused, another takes over, and the first one's request arrives late.
func Example() {
	// The service. A gate that outlives a restart belongs here: package sqlfence has one.
	var gate fencing.Memory
	account := func(r *http.Request) string { return "lock/accounts/" + r.PathValue("id") }
	guard := httpfence.Guard(&gate, account)
	mux := http.NewServeMux()
	mux.Handle("POST /accounts/{id}/seal", httpfence.Guard(&gate, account, httpfence.Seals(func(*http.Request) bool { return true }))(
		http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })))
	mux.Handle("PUT /accounts/{id}", guard(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		claim, err := fencing.FromContext(r.Context()) // a guard of the database does this for you
		fmt.Println("writing with token", claim.Token, err)
	})))
	srv := httptest.NewServer(mux)
	defer srv.Close()

	// The holders. The context of a hold carries such a claim already.
	client := &http.Client{Transport: httpfence.Transport(nil)}
	hold := func(rev int64) context.Context {
		return fencing.NewContext(context.Background(), fencing.Claim{Resource: "lock/accounts/7", Token: fencing.FromRevision(rev)})
	}
	do := func(ctx context.Context, method, path string) error {
		req, err := http.NewRequestWithContext(ctx, method, srv.URL+path, http.NoBody)
		if err != nil {
			return err
		}
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		return httpfence.Error(resp)
	}

	paused, next := hold(41), hold(42)
	fmt.Println("seal:", do(next, http.MethodPost, "/accounts/7/seal"))
	fmt.Println("late:", do(paused, http.MethodPut, "/accounts/7"))
	fmt.Println("next:", do(next, http.MethodPut, "/accounts/7"))
	err := do(context.Background(), http.MethodPut, "/accounts/7")
	fmt.Println("without the hold's context:", errors.Is(err, fencing.ErrNoClaim))
	// Output:
	// seal: <nil>
	// late: fencing "lock/accounts/7": stale fencing token: 41 was presented, 42 was seen
	// writing with token 42 <nil>
	// next: <nil>
	// without the hold's context: true
}
