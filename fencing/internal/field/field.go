// Package field is the text of a claim on a wire, the same in an HTTP field and in gRPC
// metadata. It is an Item of RFC 9651: the token as a String, with the parameters resource and
// mode, in this order.
//
//	"48213";resource="lock/reports/nightly";mode=exclusive
//	"2:48213.7";resource=%"rwlock/caf%c3%a9";mode=shared
//
// The resource is a String if all its characters are printable ASCII and a Display String
// otherwise; the mode is a Token. One claim has one text, the one that RFC 9651 serialises it
// to, and nothing else is read: no spaces, no other parameters, no parameter twice. So the
// reader is a few lines, and the tests hold both against a whole RFC 9651 implementation.
package field

import (
	"fmt"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/stile-dev/stile/fencing"
)

// Max is the length of the longest text, in bytes. The longest name that a recipe takes fits
// even if every byte of it is escaped.
const Max = 4096

const (
	afterToken    = `";resource=`
	afterResource = `";mode=`
)

// Format returns the text of c. What has none is an error that Is fencing.ErrNoClaim for a
// claim without a token, and fencing.ErrBadClaim for any other: no resource, one that is not
// UTF-8, an unknown mode, more than Max bytes.
func Format(c fencing.Claim) (string, error) {
	mode, err := c.Mode.MarshalText()
	switch {
	case err != nil:
		return "", err
	case c.Resource == "" || !utf8.ValidString(c.Resource):
		return "", fmt.Errorf("fencing: %w: its resource %.80q is not a name", fencing.ErrBadClaim, c.Resource)
	case c.Token.IsZero():
		return "", fmt.Errorf("fencing %.80q: %w: the claim has no token", c.Resource, fencing.ErrNoClaim)
	}
	b := make([]byte, 0, 128)
	b = append(b, '"')
	b = append(b, c.Token.String()...)
	b = append(b, afterToken...)
	if printable(c.Resource) {
		b = appendString(b, c.Resource)
	} else {
		b = appendDisplayString(b, c.Resource)
	}
	b = append(b, afterResource...)
	b = append(b, mode...)
	if len(b) > Max {
		return "", fmt.Errorf("fencing %.80q: %w: %d bytes of text, the most is %d", c.Resource, fencing.ErrBadClaim, len(b), Max)
	}
	return string(b), nil
}

// Parse returns the claim that text is the Format of. Any other text is an error that Is
// fencing.ErrBadClaim.
func Parse(text string) (fencing.Claim, error) {
	if len(text) > Max {
		return fencing.Claim{}, fmt.Errorf("fencing: %w: %d bytes of text, the most is %d", fencing.ErrBadClaim, len(text), Max)
	}
	c, err := parse(text)
	if canonical, bad := Format(c); err != nil || bad != nil || canonical != text {
		return fencing.Claim{}, fmt.Errorf("fencing: %w: %.80q is not the canonical text of a claim", fencing.ErrBadClaim, text)
	}
	return c, nil
}

// parse reads the canonical text, and some that is not: the caller compares.
func parse(text string) (c fencing.Claim, err error) {
	token, rest, _ := strings.Cut(strings.TrimPrefix(text, `"`), afterToken)
	if c.Token, err = fencing.Parse(token); err != nil {
		return c, err
	}
	end := max(strings.LastIndex(rest, afterResource), 0)
	if c.Resource, err = unquote(rest[:end]); err != nil {
		return c, err
	}
	return c, c.Mode.UnmarshalText([]byte(strings.TrimPrefix(rest[end:], afterResource)))
}

// unquote reads what appendString and appendDisplayString append, without the last quote.
func unquote(quoted string) (string, error) {
	if escaped, ok := strings.CutPrefix(quoted, `%"`); ok {
		return url.PathUnescape(escaped)
	}
	return unescape.Replace(strings.TrimPrefix(quoted, `"`)), nil
}

var unescape = strings.NewReplacer(`\\`, `\`, `\"`, `"`)

func printable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' })
}

// appendString appends s as a String (RFC 9651, section 4.1.6), without the last quote.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	for _, c := range []byte(s) {
		if c == '"' || c == '\\' {
			b = append(b, '\\')
		}
		b = append(b, c)
	}
	return b
}

// appendDisplayString appends s as a Display String (section 4.1.11), without the last quote.
func appendDisplayString(b []byte, s string) []byte {
	b = append(b, '%', '"')
	for _, c := range []byte(s) {
		if c < ' ' || c > '~' || c == '%' || c == '"' {
			b = fmt.Appendf(b, "%%%02x", c)
		} else {
			b = append(b, c)
		}
	}
	return b
}
