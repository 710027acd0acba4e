package keep

import (
	"errors"

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

// ErrNotThere is what giving back returns when etcd says that it was not one's own any more.
var ErrNotThere = retry.Permanent(errors.New("it was not there any more"))
