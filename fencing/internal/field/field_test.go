package field_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/dunglas/httpsfv"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/stile-dev/stile/fencing"
	"github.com/stile-dev/stile/fencing/internal/field"
)

var sameClaim = cmp.Options{cmpopts.IgnoreUnexported(fencing.Claim{}), cmp.Comparer(func(a, b fencing.Token) bool { return a == b })}

func token(t *testing.T, text string) fencing.Token {
	t.Helper()
	tok, err := fencing.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

func TestTheTextIsAnItemOfRFC9651(t *testing.T) {
	for want, c := range map[string]fencing.Claim{
		`"48213";resource="lock/reports/nightly";mode=exclusive`: {Resource: "lock/reports/nightly", Token: fencing.FromRevision(48213), Key: "/k"},
		`"2:48213.7";resource=%"rwlock/caf%c3%a9";mode=shared`:   {Resource: "rwlock/café", Token: token(t, "2:48213.7"), Mode: fencing.Shared},
		`"7";resource="x\";mode=shared";mode=exclusive`:          {Resource: `x";mode=shared`, Token: fencing.FromRevision(7)},
		`"7";resource=%"%22;resource=%00";mode=shared`:           {Resource: "\";resource=\x00", Token: fencing.FromRevision(7), Mode: fencing.Shared},
		`"7";resource="a \"b\" \\ %, ;";mode=exclusive`:          {Resource: `a "b" \ %, ;`, Token: fencing.FromRevision(7)},
		`"7";resource=%"%0d%0a%22%25%00 \%7f";mode=exclusive`:    {Resource: "\r\n\"%\x00 \\\x7f", Token: fencing.FromRevision(7)},
	} {
		got, err := field.Format(c)
		if err != nil || got != want {
			t.Errorf("Format(%+v): got %s, %v, want %s", c, got, err, want)
		}
		back, err := field.Parse(want)
		c.Key = "" // it means nothing elsewhere
		if diff := cmp.Diff(c, back, sameClaim); err != nil || diff != "" {
			t.Errorf("Parse(%s): %v %s", want, err, diff)
		}
	}
}

func TestOnlyTheCanonicalTextIsRead(t *testing.T) {
	for name, text := range map[string]string{
		"empty":                    ``,
		"no quotes":                `48213;resource="a";mode=exclusive`,
		"no resource":              `"7";mode=exclusive`,
		"empty resource":           `"7";resource="";mode=exclusive`,
		"resource is a token":      `"7";resource=a;mode=exclusive`,
		"resource is a flag":       `"7";resource;mode=exclusive`,
		"no mode":                  `"7";resource="a"`,
		"mode is a string":         `"7";resource="a";mode="shared"`,
		"unknown mode":             `"7";resource="a";mode=upgradable`,
		"no token":                 `"";resource="a";mode=shared`,
		"zero token":               `"0";resource="a";mode=shared`,
		"token not canonical":      `"07";resource="a";mode=shared`,
		"negative token":           `"-7";resource="a";mode=shared`,
		"token beyond 63 bits":     `"9223372036854775808";resource="a";mode=shared`,
		"other order":              `"7";mode=exclusive;resource="a"`,
		"resource twice":           `"7";resource="b";resource="a";mode=exclusive`,
		"mode twice":               `"7";resource="a";mode=shared;mode=exclusive`,
		"another parameter":        `"7";resource="a";mode=exclusive;hop=1`,
		"two items":                `"7";resource="a";mode=exclusive, "8";resource="a";mode=exclusive`,
		"a list of one":            `("7");resource="a";mode=exclusive`,
		"space before":             ` "7";resource="a";mode=exclusive`,
		"space after":              `"7";resource="a";mode=exclusive `,
		"space between":            `"7"; resource="a"; mode=exclusive`,
		"upper case":               `"7";Resource="a";Mode=exclusive`,
		"needless Display String":  `"7";resource=%"a";mode=exclusive`,
		"needless escape":          `"7";resource=%"%61%c3%a9";mode=exclusive`,
		"upper-case escape":        `"7";resource=%"%C3%A9";mode=exclusive`,
		"half an escape":           `"7";resource=%"%c";mode=exclusive`,
		"not UTF-8 when unescaped": `"7";resource=%"%ff";mode=exclusive`,
		"not ASCII":                `"7";resource="é";mode=exclusive`,
		"control character":        "\"7\";resource=\"a\x01\";mode=exclusive",
		"no end":                   `"7";resource="a`,
		"too long":                 `"7";resource="` + strings.Repeat("a", field.Max) + `";mode=exclusive`,
	} {
		c, err := field.Parse(text)
		if !errors.Is(err, fencing.ErrBadClaim) || c.Resource != "" || !c.Token.IsZero() {
			t.Errorf("%s: got %+v, %v, want ErrBadClaim and no claim", name, c, err)
		}
		if err != nil && len(err.Error()) > 500 {
			t.Errorf("%s: the error has %d bytes", name, len(err.Error()))
		}
	}
}

func TestWhatIsNoClaimHasNoText(t *testing.T) {
	seven := fencing.FromRevision(7)
	for name, test := range map[string]struct {
		claim fencing.Claim
		want  error
	}{
		"no resource":  {fencing.Claim{Token: seven}, fencing.ErrBadClaim},
		"not UTF-8":    {fencing.Claim{Resource: "a\xff", Token: seven}, fencing.ErrBadClaim},
		"unknown mode": {fencing.Claim{Resource: "a", Token: seven, Mode: 7}, fencing.ErrBadClaim},
		"no token":     {fencing.Claim{Resource: "a"}, fencing.ErrNoClaim},
		"too long":     {fencing.Claim{Resource: strings.Repeat("é", field.Max/6), Token: seven}, fencing.ErrBadClaim},
	} {
		if text, err := field.Format(test.claim); !errors.Is(err, test.want) || text != "" {
			t.Errorf("%s: got %.80q, %v, want %v", name, text, err, test.want)
		}
	}
}

func TestTheLongestNameOfARecipeFits(t *testing.T) {
	c := fencing.Claim{Resource: "semaphore/" + strings.Repeat("é", 256) + "#1000000", Token: token(t, "4294967295:9223372036854775807.4294967295")}
	if _, err := field.Format(c); err != nil {
		t.Error(err)
	}
}

func TestEveryClaimParsesBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := fencing.Claim{
			Resource: rapid.StringN(1, 100, 400).Draw(t, "resource"),
			Token:    fencing.FromRevision(rapid.Int64Min(1).Draw(t, "rev")),
			Mode:     rapid.SampledFrom([]fencing.Mode{fencing.Exclusive, fencing.Shared}).Draw(t, "mode"),
		}
		text, err := field.Format(want)
		if err != nil {
			t.Fatal(err)
		}
		if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Fatalf("%q is not printable ASCII", text)
		}
		got, err := field.Parse(text)
		if diff := cmp.Diff(want, got, sameClaim); err != nil || diff != "" {
			t.Fatalf("%s: %v %s", text, err, diff)
		}
		if oracle := serialise(t, want); text != oracle {
			t.Fatalf("got %s, RFC 9651 says %s", text, oracle)
		}
	})
}

// serialise is Format by a whole implementation of RFC 9651, which also reads its own text back.
func serialise(t *rapid.T, c fencing.Claim) string {
	t.Helper()
	item := httpsfv.NewItem(c.Token.String())
	item.Params.Add("resource", c.Resource)
	if strings.ContainsFunc(c.Resource, func(r rune) bool { return r < 0x20 || r > 0x7e }) {
		item.Params.Add("resource", httpsfv.DisplayString(c.Resource))
	}
	item.Params.Add("mode", httpsfv.Token(c.Mode.String()))
	text, err := httpsfv.Marshal(item)
	if err != nil {
		t.Fatal(err)
	}
	back, err := httpsfv.UnmarshalItem([]string{text})
	if diff := cmp.Diff(item.Value, back.Value); err != nil || diff != "" {
		t.Fatalf("%s: %v %s", text, err, diff)
	}
	return text
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{
		``, `"7"`, `"7";resource="a";mode=exclusive`, `"2:48213.7";resource=%"rwlock/caf%c3%a9";mode=shared`,
		`"7";resource="a\"\\";mode=exclusive`, `"7";resource=%"%0d%0a";mode=exclusive`, `"7";resource="a";resource="b";mode=shared`,
		`("7");resource="a"`, `:cHJldGVuZA==:;resource="a"`, `@1659578233`, `1.5;resource=?1`,
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := field.Parse(text)
		if err != nil {
			if !errors.Is(err, fencing.ErrBadClaim) || c.Resource != "" || !c.Token.IsZero() {
				t.Fatalf("Parse(%q): got %+v, %v, want ErrBadClaim and no claim", text, c, err)
			}
			return
		}
		back, err := field.Format(c)
		if err != nil || back != text {
			t.Fatalf("Format of Parse(%q): got %q, %v", text, back, err)
		}
	})
}

func BenchmarkParse(b *testing.B) {
	for b.Loop() {
		if _, err := field.Parse(`"48213";resource="lock/reports/nightly";mode=exclusive`); err != nil {
			b.Fatal(err)
		}
	}
}
