package examples

import (
	"context"
	"os/exec"
	"regexp"
	"strings"
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
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
			defer cancel()
			cmd := exec.CommandContext(ctx, bin, args...)
			var failures strings.Builder // it goes on after them
			cmd.Stderr = &failures
			out, err := cmd.Output()
			if err != nil || !want.Match(out) {
				t.Errorf("%v: got\n%s\nwant %s\n%s", err, out, want, failures.String())
			}
		})
	}
}
