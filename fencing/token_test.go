package fencing_test

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/stile-dev/stile/fencing"
)

// parts is the documented order of tokens, written a second time.
type parts struct {
	epoch uint32
	rev   int64
	seq   uint32
}

func (p parts) text() string {
	s := fmt.Sprint(p.rev)
	if p.seq != 0 {
		s = fmt.Sprintf("%s.%d", s, p.seq)
	}
	if p.epoch != 0 {
		s = fmt.Sprintf("%d:%s", p.epoch, s)
	}
	return s
}

func (p parts) compare(q parts) int {
	return cmp.Or(cmp.Compare(p.epoch, q.epoch), cmp.Compare(p.rev, q.rev), cmp.Compare(p.seq, q.seq))
}

// drawParts draws close values too, so that epochs and revisions are often equal.
func drawParts(t *rapid.T, label string) parts {
	small := rapid.Uint32Range(0, 2)
	part := rapid.OneOf(small, rapid.Uint32(), rapid.Just(uint32(math.MaxUint32)))
	rev := rapid.OneOf(rapid.Int64Range(1, 3), rapid.Int64Range(1, math.MaxInt64), rapid.Just(int64(math.MaxInt64)))
	if rapid.IntRange(0, 9).Draw(t, label+" zero") == 0 {
		return parts{}
	}
	return parts{epoch: part.Draw(t, label+" epoch"), rev: rev.Draw(t, label+" rev"), seq: part.Draw(t, label+" seq")}
}

func mustParse(t interface {
	Helper()
	Fatalf(format string, args ...any)
}, s string,
) fencing.Token {
	t.Helper()
	tok, err := fencing.Parse(s)
	if err != nil {
		t.Fatalf("Parse(%q): %v", s, err)
	}
	return tok
}

func TestTextOfTokensParsesBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawParts(t, "token")
		tok := mustParse(t, want.text())
		if got := tok.String(); got != want.text() {
			t.Fatalf("String: got %q, want %q", got, want.text())
		}
		back, err := fencing.ParseSortable(tok.Sortable())
		if err != nil || back != tok {
			t.Fatalf("ParseSortable(%q): got %v, %v, want %v", tok.Sortable(), back, err, tok)
		}
		js, err := json.Marshal(tok)
		if err != nil || string(js) != `"`+want.text()+`"` {
			t.Fatalf("Marshal: got %s, %v, want the string %q", js, err, want.text())
		}
		var fromJSON fencing.Token
		if err := json.Unmarshal(js, &fromJSON); err != nil || fromJSON != tok {
			t.Fatalf("Unmarshal(%s): got %v, %v, want %v", js, fromJSON, err, tok)
		}
		n, ok := tok.Int64()
		if wantOK := want.epoch == 0 && want.seq == 0; ok != wantOK || ok && n != want.rev || !ok && n != 0 {
			t.Fatalf("Int64 of %v: got %d, %t, want %t", tok, n, ok, wantOK)
		}
		if tok.IsZero() != (want == parts{}) {
			t.Fatalf("IsZero of %v: got %t", tok, tok.IsZero())
		}
	})
}

func TestCompareSortableAndDocumentedOrderAgree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, q := drawParts(t, "p"), drawParts(t, "q")
		a, b := mustParse(t, p.text()), mustParse(t, q.text())
		want := p.compare(q)
		if got := a.Compare(b); got != want {
			t.Fatalf("%v.Compare(%v): got %d, want %d", a, b, got, want)
		}
		if got := b.Compare(a); got != -want {
			t.Fatalf("%v.Compare(%v): got %d, want %d", b, a, got, -want)
		}
		if got := strings.Compare(a.Sortable(), b.Sortable()); got != want {
			t.Fatalf("byte order of %s and %s: got %d, want %d", a.Sortable(), b.Sortable(), got, want)
		}
		if (a == b) != (want == 0) {
			t.Fatalf("%v == %v: got %t, want %t", a, b, a == b, want == 0)
		}
		m, okA := a.Int64()
		n, okB := b.Int64()
		if okA && okB && cmp.Compare(m, n) != want {
			t.Fatalf("order of Int64 %d and %d: got %d, want %d", m, n, cmp.Compare(m, n), want)
		}
	})
}

func TestAnEpochCountsBeforeTheRevisionAndASequenceAfterIt(t *testing.T) {
	ordered := []string{"0", "1", "1.1", "1.2", "2", "10", "9223372036854775807.4294967295", "1:1", "1:2", "2:1", "10:1"}
	tokens := make([]fencing.Token, len(ordered))
	for i, s := range ordered {
		tokens[i] = mustParse(t, s)
	}
	if !slices.IsSortedFunc(tokens, fencing.Token.Compare) {
		t.Errorf("Compare: %v are not in order", tokens)
	}
	for i := range tokens[1:] {
		if a, b := tokens[i].Sortable(), tokens[i+1].Sortable(); a >= b {
			t.Errorf("Sortable: %s (%s) is not before %s (%s)", a, ordered[i], b, ordered[i+1])
		}
	}
}

func TestFromRevision(t *testing.T) {
	for _, rev := range []int64{0, -1, math.MinInt64} {
		if got := fencing.FromRevision(rev); !got.IsZero() || got != (fencing.Token{}) {
			t.Errorf("FromRevision(%d): got %v, want the zero token", rev, got)
		}
	}
	if got, ok := fencing.FromRevision(48213).Int64(); got != 48213 || !ok {
		t.Errorf("Int64: got %d, %t, want 48213, true", got, ok)
	}
}

func TestOnlyCanonicalTextParses(t *testing.T) {
	for _, s := range []string{
		"", " ", "00", "01", "007", "+1", "-1", "-0", " 1", "1 ", "1\n", "\x001", "1_000", "0x1", "1e3", "٣", "１",
		"0:1", "1:", ":1", ":", "1:0", "1:0.1", "01:1", "1:01", "1:1:1", "-1:1", "+1:1", "1 :1",
		"1.", ".1", ".", "1.0", "0.1", "1.01", "1.1.1", "1.-1", "1.+1", "1.1:1", "0.0", "0:0", "0:0.0",
		"9223372036854775808", "18446744073709551617", "4294967296:1", "1.4294967296", "null", `"1"`,
		strings.Repeat("9", 42), strings.Repeat("0", 1<<20),
	} {
		got, err := fencing.Parse(s)
		if !errors.Is(err, fencing.ErrBadToken) || !got.IsZero() {
			t.Errorf("Parse(%.50q): got %v, %v, want ErrBadToken", s, got, err)
		}
		if err != nil && len(err.Error()) > 300 {
			t.Errorf("Parse of %d bytes gives an error of %d bytes", len(s), len(err.Error()))
		}
		kept := fencing.FromRevision(5)
		if err := kept.UnmarshalText([]byte(s)); err == nil || kept != fencing.FromRevision(5) {
			t.Errorf("UnmarshalText(%.50q): got %v, %v, want an error and the old token", s, kept, err)
		}
	}
}

func TestOnlyCanonicalSortableParses(t *testing.T) {
	good := mustParse(t, "2:48213.7").Sortable()
	if want := "00000002000000000000bc5500000007"; good != want {
		t.Fatalf("Sortable: got %s, want %s", good, want)
	}
	for _, s := range []string{
		"", good[1:], good + "0", strings.ToUpper(good), strings.Repeat("f", 32), "+" + good[1:], "-" + good[1:],
		" " + good[1:], good[:8] + "+" + good[9:], good[:8] + "8" + good[9:], good[:8] + "0000000000000000" + good[24:],
		strings.Repeat("0", 31) + "1", strings.Repeat("g", 32), "0x" + good[2:], good[:15] + "_" + good[16:],
	} {
		if got, err := fencing.ParseSortable(s); !errors.Is(err, fencing.ErrBadToken) || !got.IsZero() {
			t.Errorf("ParseSortable(%q): got %v, %v, want ErrBadToken", s, got, err)
		}
	}
}

func TestJSONNumbersAreNoTokens(t *testing.T) {
	for _, js := range []string{`48213`, `4.8213e4`, `true`, `{}`, `[]`, `"48213 "`, `""`} {
		var tok fencing.Token
		if err := json.Unmarshal([]byte(js), &tok); err == nil || !tok.IsZero() {
			t.Errorf("Unmarshal(%s): got %v, %v, want an error", js, tok, err)
		}
	}
}
