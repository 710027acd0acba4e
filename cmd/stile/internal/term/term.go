// Package term knows what may be written to a terminal, and how it looks there.
package term

import (
	"io"
	"os"
	"strconv"

	"golang.org/x/term"
)

// Plain is text that others chose, as a terminal may show it: quoted if it has anything in it that could move the
// cursor, break the line or hide other text.
func Plain(text string) string {
	quoted := strconv.Quote(text)
	if text == "" || quoted != `"`+text+`"` {
		return quoted
	}
	return text
}

// Style colours text, or leaves it as it is.
type Style struct{ colour bool }

// For is the style for w: colours on a terminal that is not dumb, unless NO_COLOR is set to anything.
func For(w io.Writer) Style {
	f, ok := w.(*os.File)
	colour := ok && term.IsTerminal(int(f.Fd())) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	return Style{colour}
}

// The looks that text can have.
const (
	Bold   = "1"
	Faint  = "2"
	Red    = "31"
	Green  = "32"
	Yellow = "33"
	Blue   = "34"
	Purple = "35"
	Cyan   = "36"
)

// In is text with a look.
func (s Style) In(look, text string) string {
	if !s.colour || text == "" {
		return text
	}
	return "\x1b[" + look + "m" + text + "\x1b[0m"
}
