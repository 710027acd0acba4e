package examples

import (
	"context"
	"os/exec"
	"regexp"
	"testing"
	"time"

	"github.com/stile-dev/stile/recipes/recipestest"
)

func TestRatelimit(t *testing.T) {
	bin := build(t, "ratelimit")
	want := regexp.MustCompile(`^limit 2: 12 workers, at most 2 at once
limit 5: 12 workers, at most 5 at once
limit 1: 12 workers, at most 1 at once
$`)
	for name, args := range map[string][]string{"own server": nil, "yours": {"-endpoint", recipestest.Endpoint(t)}} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			out, err := exec.CommandContext(ctx, bin, args...).CombinedOutput()
			if err != nil || !want.Match(out) {
				t.Errorf("%v: got\n%s\nwant %s", err, out, want)
			}
		})
	}
}
