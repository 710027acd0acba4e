package filefence

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/stile-dev/stile/fencing"
)

// How long to wait before another look at a lock that another process has: from first to longest.
const (
	first   = time.Millisecond
	longest = 50 * time.Millisecond
)

// locked calls do, for a claim that is admitted, while nobody else looks at the tokens.
func (f *File) locked(ctx context.Context, c fencing.Claim, act string, do func(t tokens) error) error {
	if f.turn == nil {
		return fmt.Errorf("filefence: %s: the File is not one that New made", act)
	}
	select {
	case f.turn <- struct{}{}:
		defer func() { <-f.turn }()
	case <-ctx.Done():
		return f.failed(act, why(ctx))
	}
	lock, err := f.lock(ctx)
	if err != nil {
		return f.failed(act, err)
	}
	defer lock.Close()
	return f.failed(act, f.admitted(ctx, c, do))
}

// admitted is for who has the lock. The ctx and the hold may have ended while it was waited for.
func (f *File) admitted(ctx context.Context, c fencing.Claim, do func(t tokens) error) error {
	if err := c.Err(); err != nil {
		return fmt.Errorf("%w: %w", fencing.ErrEnded, err)
	}
	if ctx.Err() != nil {
		return why(ctx)
	}
	t, err := f.load()
	if err != nil {
		return err
	}
	if err := t.verdict(c); err != nil {
		return err
	}
	return do(t)
}

// lock waits for the lock until ctx ends. It goes with the file that is returned, also if the process is killed.
func (f *File) lock(ctx context.Context) (*os.File, error) {
	file, err := os.OpenFile(f.lockPath(), os.O_RDONLY|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	for pause := first; ; pause = min(2*pause, longest) {
		switch free, err := tryLock(file); {
		case err != nil:
			return nil, errors.Join(fmt.Errorf("lock %s: %w", f.lockPath(), err), file.Close())
		case free:
			return file, nil
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("%w: another process has locked %s", why(ctx), f.lockPath()), file.Close())
		}
	}
}

// why is why ctx ended, as an error that also Is ctx.Err().
func why(ctx context.Context) error {
	if cause := context.Cause(ctx); !errors.Is(cause, ctx.Err()) {
		return fmt.Errorf("%w: %w", ctx.Err(), cause)
	}
	return context.Cause(ctx)
}
