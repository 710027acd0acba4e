package examples

import (
	"context"
	"os/exec"
	"regexp"
	"testing"
	"time"

	"github.com/stile-dev/stile/recipes/recipestest"
)

func TestFencedHTTP(t *testing.T) {
	bin := build(t, "fencedhttp")
	want := regexp.MustCompile(`^alice has the lock with token (\d+) and reads 100
alice withdraws 60: she is let in, and is stopped half way through the request
bob has the lock, reads 100 and withdraws 70
alice goes on, and the transaction refuses her: 412: fencing "lock/accounts/7": stale fencing token: (\d+) was presented, (\d+) was seen
alice tries again, and the guard refuses her: 412: fencing "lock/accounts/7": stale fencing token: (\d+) was presented, (\d+) was seen
alice looks at her lock, and sends nothing: fencing "lock/accounts/7": the hold is not in force: .*: session closed
carol has the lock, reads 30 and withdraws 10
$`)
	for name, args := range map[string][]string{"own server": nil, "yours": {"-endpoint", recipestest.Endpoint(t)}} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			out, err := exec.CommandContext(ctx, bin, args...).CombinedOutput()
			m := want.FindStringSubmatch(string(out))
			if err != nil || m == nil {
				t.Fatalf("%v: got\n%s\nwant %s", err, out, want)
			}
			if alice, bob := m[1], m[3]; m[2] != alice || m[4] != alice || m[5] != bob || alice == bob {
				t.Errorf("the tokens make no sense:\n%s", out)
			}
		})
	}
}
