package hooks

import (
	"context"
	"time"
)

// most is what is spared when there is plenty.
const most = time.Second

// Spare is ctx, ended a quarter of the time that is left earlier, and at most a second. fx hands one deadline to all
// hooks; once it has passed, fx runs none of those that are left and reports nothing that a hook returns. A hook that
// may wait waits with this, so that those after it get their turn and its error is heard.
func Spare(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	return context.WithDeadline(ctx, deadline.Add(-min(time.Until(deadline)/4, most)))
}
