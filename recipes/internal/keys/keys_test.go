package keys_test

import (
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/stile-dev/stile/recipes/internal/keys"
)

func TestBadNamesAreRefused(t *testing.T) {
	for _, name := range []string{
		"", "a\x00b", "a#3", "\xff\xfe", "line\nbreak", "\x7f", strings.Repeat("x", keys.MaxName+1), strings.Repeat("x", 10_000),
	} {
		if err := keys.CheckName(name); !errors.Is(err, keys.ErrName) {
			t.Errorf("CheckName(%.20q) = %v, want ErrName", name, err)
		}
	}
	for _, name := range []string{"a", "reports/nightly", "with space", "ключ", "%2F", "..", "/", strings.Repeat("x", keys.MaxName)} {
		if err := keys.CheckName(name); err != nil {
			t.Errorf("CheckName(%.20q) = %v, want nil", name, err)
		}
	}
}

func names() *rapid.Generator[string] {
	return rapid.StringN(1, 40, keys.MaxName).Filter(func(s string) bool { return keys.CheckName(s) == nil })
}

func TestNoNameIsPartOfAnother(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := names().Draw(t, "a"), names().Draw(t, "b")
		if a == b {
			return
		}
		pa, pb := keys.Prefix("/r", "lock", a), keys.Prefix("/r", "lock", b)
		if strings.HasPrefix(pa, pb) || strings.HasPrefix(pb, pa) {
			t.Fatalf("names %q and %q share keys: %q, %q", a, b, pa, pb)
		}
	})
}

func TestSplitFindsTheName(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := names().Draw(t, "name")
		name, rest, ok := keys.Split("/r", "lock", keys.Prefix("/r", "lock", want)+"e/1")
		if !ok || name != want || rest != "e/1" {
			t.Fatalf("Split = %q, %q, %v, want %q", name, rest, ok, want)
		}
	})
}

// FuzzSplit: whatever stands in etcd, Split neither panics nor returns a name that would be refused or
// that leads to another key.
func FuzzSplit(f *testing.F) {
	f.Add("/r/lock/a%2Fb/e/1")
	f.Add("/r/lock/%zz/tail")
	f.Add("/r/lock//tail")
	f.Fuzz(func(t *testing.T, key string) {
		name, rest, ok := keys.Split("/r", "lock", key)
		if !ok {
			return
		}
		if err := keys.CheckName(name); err != nil {
			t.Fatalf("Split(%q) gave a name that is refused: %v", key, err)
		}
		if back := keys.Prefix("/r", "lock", name) + rest; back != key {
			t.Fatalf("Split(%q) = %q, %q, which is %q", key, name, rest, back)
		}
	})
}
