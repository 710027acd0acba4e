package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"go.uber.org/fx"

	"github.com/stile-dev/stile/fencing"
)

// ledger is the resource: two files that take the same messages. One of them looks at tokens.
type ledger struct {
	dir           string
	plain, fenced *os.File
	gate          fencing.Memory // guards fenced

	mu             sync.Mutex
	last           []string // written to fenced
	taken, refused int
}

func newLedger(lc fx.Lifecycle) *ledger {
	l := &ledger{}
	lc.Append(fx.StartStopHook(l.open, l.close))
	return l
}

func (l *ledger) open() (err error) {
	if l.dir, err = os.MkdirTemp("", "stile-demoserver-"); err != nil {
		return err
	}
	l.plain, err = os.Create(filepath.Join(l.dir, "plain"))
	if err != nil {
		return errors.Join(err, os.RemoveAll(l.dir))
	}
	l.fenced, err = os.Create(filepath.Join(l.dir, "fenced"))
	if err != nil {
		return errors.Join(err, l.plain.Close(), os.RemoveAll(l.dir))
	}
	return nil
}

func (l *ledger) close() error {
	fmt.Printf("\nstopped: of %d messages the plain file took all, and the fenced file refused %d that came late\n", l.taken, l.refused)
	return errors.Join(l.plain.Close(), l.fenced.Close(), os.RemoveAll(l.dir))
}

// message is a write that was sent with the token in ctx and arrives when it is called, as if over a network: the
// resource knows nothing of the sender but the claim.
func (l *ledger) message(ctx context.Context, text string) (arrive func() error) {
	claim, err := fencing.FromContext(ctx)
	sent := fencing.NewContext(context.Background(), fencing.Claim{Resource: claim.Resource, Token: claim.Token})
	return func() error {
		if err != nil {
			return err
		}
		return l.write(sent, fmt.Sprintf("token %s: %s\n", claim.Token, text))
	}
}

func (l *ledger) write(ctx context.Context, line string) error {
	if _, err := l.plain.WriteString(line); err != nil {
		return err
	}
	err := l.gate.Do(ctx, func() error {
		_, err := l.fenced.WriteString(line)
		return err
	})
	l.count(line, err)
	return err
}

func (l *ledger) count(line string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.taken++
	if errors.Is(err, fencing.ErrStale) {
		l.refused++
		return
	}
	l.last = append(l.last[max(0, len(l.last)-9):], line)
}

// state is what the page shows.
func (l *ledger) state() (last []string, refused int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.last...), l.refused
}
