package keep

import (
	"errors"
	"fmt"

	"github.com/stile-dev/stile/fencing"
	"github.com/stile-dev/stile/recipes/internal/retry"
)

// The errors that a session's users decide on. Package session exports them and says what they mean.
var (
	ErrLost           = retry.Permanent(errors.New("lost"))
	ErrReleased       = retry.Permanent(errors.New("released"))
	ErrClosed         = retry.Permanent(errors.New("session closed"))
	ErrUncertain      = errors.New("uncertain")
	ErrUnknownOutcome = fencing.ErrUnknownOutcome
	ErrUnavailable    = retry.ErrUnavailable
)

// ErrMaxHold is the loss of a hold that has lasted as long as it may.
var ErrMaxHold = retry.Permanent(fmt.Errorf("%w: it has lasted as long as it may (MaxHold)", ErrLost))

// ErrRemoved says that somebody else has taken an entry out of the line.
var ErrRemoved = retry.Permanent(errors.New("removed from the line by somebody else"))

// ErrNotThere is what giving back returns when etcd says that it was not one's own any more.
var ErrNotThere = retry.Permanent(errors.New("it was not there any more"))
