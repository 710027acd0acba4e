package term

import (
	"io"
	"os"
	"testing"
)

func TestPlainLeavesTextAndQuotesWhatMovesTheCursor(t *testing.T) {
	for text, want := range map[string]string{
		"reports/nightly": "reports/nightly", "größe": "größe", "": `""`, "a b": "a b",
		"\x1b[2J": `"\x1b[2J"`, "a\tb": `"a\tb"`, "a\u202eb": `"a\u202eb"`, "\xff": `"\xff"`,
	} {
		if got := Plain(text); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}

func TestNoColourButOnATerminal(t *testing.T) {
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, w := range []io.Writer{io.Discard, f} {
		if got := For(w).In(Red, "x"); got != "x" {
			t.Errorf("%T: %q", w, got)
		}
	}
	if got := (Style{colour: true}).In(Red, "x"); got != "\x1b[31mx\x1b[0m" {
		t.Errorf("on a terminal: %q", got)
	}
}
