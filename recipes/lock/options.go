package lock

import (
	"time"

	"github.com/stile-dev/stile/recipes/internal/calls"
)

// An Option sets something about one acquisition. A value that makes no sense is an error, before anything is sent.
type Option func(*calls.Terms)

// MaxHold has the hold end by itself when it has lasted for d, of the holder's running time: its context's cause Is session.ErrMaxHold then (and
// session.ErrLost), and the lock is given back: at once, or, in Do and TryDo, when work has returned. It costs nothing.
func MaxHold(d time.Duration) Option { return func(t *calls.Terms) { t.MaxHold(d) } }

// Position calls tell while the acquisition waits: how many stand in front of it, the holder included, as soon as that is known and whenever it has
// changed, once a second at most. It runs in Acquire's own goroutine, which doesn't go on before it returns: no two calls overlap, and none comes after
// Acquire has returned. All that wait in one session for one lock share 1 read a second, of the names of all in line. A read without an answer is left out.
func Position(tell func(ahead int)) Option { return func(t *calls.Terms) { t.Telling(tell) } }

// Delay keeps the lock from everybody for d at least after this hold was lost: time for what its holder has under way to end. A lock that was released
// in order (Release, Do, MaxHold, Revoke, Session.Close) is free at once. At most 24 h. The package's comment says more.
func Delay(d time.Duration) Option { return func(t *calls.Terms) { t.Delaying(d) } }

// MinHold keeps the lock from everybody for d at least from now on, even if it is released or its session closed: for jobs that shall not run
// again soon, on whatever machine. etcd makes d whole seconds, 2 at least. It goes together with Delay. At most 24 h.
func MinHold(d time.Duration) Option { return func(t *calls.Terms) { t.Keeping(d) } }
