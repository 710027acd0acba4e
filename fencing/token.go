package fencing

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
)

// maxTokenText is the length of the longest canonical text of a token.
const maxTokenText = len("4294967295:9223372036854775807.4294967295")

// Token is a fencing token: larger, by Compare, than that of every earlier holder
// of the same resource. It is a value: compare it with == or Compare, use it as a
// map key. The zero Token is no token; it is smaller than all others, and guards
// refuse it.
type Token struct {
	// Either all three are 0, or rev is larger than 0.
	epoch uint32 // restore epoch: counts first
	rev   int64  // revision of the write that gave the hold
	seq   uint32 // local sequence: counts last
}

// FromRevision returns the token of a hold given by the write at revision rev. A
// rev of 0 or less gives the zero Token.
func FromRevision(rev int64) Token {
	return Token{rev: max(rev, 0)}
}

// Parse returns the token that s is the String of. It accepts only that canonical
// form (no leading zeros, signs or spaces), so that two texts of one token are
// always equal. Any other s gives the zero Token and an error that Is ErrBadToken.
func Parse(s string) (Token, error) {
	if s == "0" {
		return Token{}, nil
	}
	if len(s) > maxTokenText {
		return Token{}, fmt.Errorf("fencing: %w: %d bytes of text", ErrBadToken, len(s))
	}
	epoch, rest, ok := strings.Cut(s, ":")
	if !ok {
		epoch, rest = "0", s
	}
	rev, seq, ok := strings.Cut(rest, ".")
	if !ok {
		seq = "0"
	}
	t, ok := assemble(epoch, rev, seq, 10)
	if !ok || t.String() != s {
		return Token{}, fmt.Errorf("fencing: %w: %q", ErrBadToken, s)
	}
	return t, nil
}

// ParseSortable returns the token that s is the Sortable of. Any other s, one with
// upper-case digits for instance, gives the zero Token and an error that Is
// ErrBadToken.
func ParseSortable(s string) (Token, error) {
	if len(s) != 32 {
		return Token{}, fmt.Errorf("fencing: %w: %d bytes of text, not 32", ErrBadToken, len(s))
	}
	if s == (Token{}).Sortable() {
		return Token{}, nil
	}
	t, ok := assemble(s[:8], s[8:24], s[24:], 16)
	if !ok || t.Sortable() != s {
		return Token{}, fmt.Errorf("fencing: %w: %q", ErrBadToken, s)
	}
	return t, nil
}

// assemble reads the parts of a token other than the zero one. What it accepts need
// not be canonical.
func assemble(epoch, rev, seq string, base int) (Token, bool) {
	e, errEpoch := strconv.ParseUint(epoch, base, 32)
	r, errRev := strconv.ParseUint(rev, base, 63)
	q, errSeq := strconv.ParseUint(seq, base, 32)
	ok := errEpoch == nil && errRev == nil && errSeq == nil && r > 0
	return Token{epoch: uint32(e), rev: int64(r), seq: uint32(q)}, ok
}

// IsZero reports whether t is the zero Token: no token at all.
func (t Token) IsZero() bool { return t == Token{} }

// Compare returns -1 if t is smaller than u, 0 if they are equal and +1 if t is
// larger: by restore epoch, then revision, then sequence.
func (t Token) Compare(u Token) int {
	return cmp.Or(
		cmp.Compare(t.epoch, u.epoch),
		cmp.Compare(t.rev, u.rev),
		cmp.Compare(t.seq, u.seq),
	)
}

// String returns the canonical text of t, which Parse reads: the revision in
// decimal ("48213"), followed by the sequence unless it is 0 ("48213.7"), and
// preceded by the restore epoch unless it is 0 ("2:48213"). The zero Token is "0".
// The order of these texts is not the order of tokens: see Sortable.
func (t Token) String() string {
	b := make([]byte, 0, maxTokenText)
	if t.epoch != 0 {
		b = strconv.AppendUint(b, uint64(t.epoch), 10)
		b = append(b, ':')
	}
	b = strconv.AppendInt(b, t.rev, 10)
	if t.seq != 0 {
		b = append(b, '.')
		b = strconv.AppendUint(b, uint64(t.seq), 10)
	}
	return string(b)
}

// Int64 returns t as a number whose order is the order of tokens, for columns such
// as BIGINT. It returns 0 and false for a token with a restore epoch or a sequence,
// which does not fit: refuse the write then, do not drop the rest of the token.
func (t Token) Int64() (int64, bool) {
	if t.epoch != 0 || t.seq != 0 {
		return 0, false
	}
	return t.rev, true
}

// Sortable returns t as 32 lower-case hexadecimal digits (8 of the restore epoch, 16
// of the revision, 8 of the sequence). The byte order of these texts is the order of
// tokens, so a store that compares only text can compare tokens. ParseSortable reads
// it.
func (t Token) Sortable() string {
	return fmt.Sprintf("%08x%016x%08x", t.epoch, t.rev, t.seq)
}

// MarshalText returns the String of t. It makes a token a string in JSON, where a
// number would be rounded above 2^53. It never fails.
func (t Token) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText sets t as Parse does. On an error it leaves t as it was.
func (t *Token) UnmarshalText(text []byte) error {
	u, err := Parse(string(text))
	if err != nil {
		return err
	}
	*t = u
	return nil
}
