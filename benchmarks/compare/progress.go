package main

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/term"
)

// progress tells what goes on.
type progress func(format string, args ...any)

// progressTo tells it on w if that is a terminal, or if told to.
func progressTo(w io.Writer, verbose bool) progress {
	if !verbose && !terminal(w) {
		return func(string, ...any) {}
	}
	return func(format string, args ...any) { _, _ = fmt.Fprintf(w, format+"\n", args...) }
}

func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
