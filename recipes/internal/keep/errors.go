package keep

import "errors"

// The errors that a session's users decide on. Package session exports them and says what they mean.
var (
	ErrLost           = errors.New("lost")
	ErrReleased       = errors.New("released")
	ErrClosed         = errors.New("session closed")
	ErrUncertain      = errors.New("uncertain")
	ErrUnknownOutcome = errors.New("unknown outcome")
)
