package fencing

import (
	"fmt"
	"strconv"
)

// Mode says whether a hold excludes all others or only exclusive ones.
type Mode uint8

// The modes of a claim.
const (
	// Exclusive is the mode of a hold that nobody shares: it allows writes. It is the
	// zero Mode.
	Exclusive Mode = iota
	// Shared is the mode of a hold that others may have at the same time, in the same
	// mode: it allows reads.
	Shared
)

// String returns "exclusive" or "shared", and "Mode(7)" for an unknown mode.
func (m Mode) String() string {
	switch m {
	case Exclusive:
		return "exclusive"
	case Shared:
		return "shared"
	default:
		return "Mode(" + strconv.Itoa(int(m)) + ")"
	}
}

// MarshalText returns the String of m. An unknown mode is an error that Is
// ErrBadClaim.
func (m Mode) MarshalText() ([]byte, error) {
	if !m.known() {
		return nil, fmt.Errorf("fencing: %w: %v", ErrBadClaim, m)
	}
	return []byte(m.String()), nil
}

// UnmarshalText sets m from "exclusive" or "shared". Any other text is an error that
// Is ErrBadClaim, and leaves m as it was.
func (m *Mode) UnmarshalText(text []byte) error {
	switch string(text) {
	case "exclusive":
		*m = Exclusive
	case "shared":
		*m = Shared
	default:
		return fmt.Errorf("fencing: %w: mode %.20q", ErrBadClaim, text)
	}
	return nil
}

func (m Mode) known() bool { return m == Exclusive || m == Shared }
