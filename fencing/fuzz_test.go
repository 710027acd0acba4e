package fencing_test

import (
	"testing"

	"github.com/stile-dev/stile/fencing"
)

func FuzzParse(f *testing.F) {
	for _, s := range []string{"", "0", "48213", "48213.7", "2:48213", "2:48213.7", "0:1", "1.0", "+1", "9223372036854775808"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		tok, err := fencing.Parse(s)
		if err != nil {
			if !tok.IsZero() {
				t.Fatalf("Parse(%q): got %v with the error %v", s, tok, err)
			}
			return
		}
		if got := tok.String(); got != s {
			t.Fatalf("Parse(%q).String(): got %q", s, got)
		}
		back, err := fencing.ParseSortable(tok.Sortable())
		if err != nil || back != tok || back.Compare(tok) != 0 {
			t.Fatalf("ParseSortable(%q): got %v, %v, want %v", tok.Sortable(), back, err, tok)
		}
	})
}

func FuzzParseSortable(f *testing.F) {
	for _, s := range []string{
		"0", "0002:48213.7", "00000002000000000000bc5500000007", "00000000000000000000000000000000",
		"0000000000000000000000000000000A", "+0000002000000000000bc5500000007", "ffffffffffffffffffffffffffffffff",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		tok, err := fencing.ParseSortable(s)
		if err != nil {
			if !tok.IsZero() {
				t.Fatalf("ParseSortable(%q): got %v with the error %v", s, tok, err)
			}
			return
		}
		if got := tok.Sortable(); got != s {
			t.Fatalf("ParseSortable(%q).Sortable(): got %q", s, got)
		}
		back, err := fencing.Parse(tok.String())
		if err != nil || back != tok {
			t.Fatalf("Parse(%q): got %v, %v, want %v", tok.String(), back, err, tok)
		}
	})
}
