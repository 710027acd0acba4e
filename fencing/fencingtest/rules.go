package fencingtest

import (
	"strings"
	"testing"

	"github.com/stile-dev/stile/fencing"
)

// order: a smaller token is refused once a larger one was seen, and an equal one is not.
func order(tb testing.TB, g Guard) {
	tb.Helper()
	a := asker{tb, g.Gate}
	a.admits(checkRead, exclusive(rev(900))) // nobody has written yet
	a.admits(checkRead, shared(rev(900)))
	largest := rev(5)
	for i, present := range []method{check, seal, check, seal} {
		token := rev(int64(7 + 2*i)) // passes through 9, 11: not the order of texts
		for _, m := range methods {
			a.admits(m, exclusive(largest))
		}
		a.admits(present, exclusive(token))
		for _, m := range methods {
			a.refuses(m, exclusive(largest), token)
			a.refuses(m, exclusive(rev(1)), token)
			a.admits(m, exclusive(token))
		}
		a.admits(checkRead, exclusive(rev(1000))) // remembers nothing
		a.admits(checkRead, shared(rev(1000)))
		largest = token
	}
}

// tokenOrder is in the order of tokens. Neither the order of texts nor that of revisions is the same.
var tokenOrder = []string{
	"1", "2", "9", "9.1", "9.2", "9.10", "10", "99", "100", "9007199254740992", "9007199254740993", "9223372036854775807",
	"9223372036854775807.4294967295", "1:1", "1:1.1", "1:10", "2:9", "2:10", "10:1", "4294967295:1",
	"4294967295:9223372036854775807.4294967294", "4294967295:9223372036854775807.4294967295",
}

// tokens: they are ordered by epoch, revision and sequence.
func tokens(tb testing.TB, g Guard) {
	tb.Helper()
	a := asker{tb, g.Gate}
	var before []fencing.Token
	for _, text := range tokenOrder {
		token := parse(tb, text)
		a.admits(check, exclusive(token))
		a.admits(check, exclusive(token))
		for _, smaller := range before {
			a.refuses(check, exclusive(smaller), token)
			a.refuses(checkRead, shared(smaller), token)
		}
		before = append(before, token)
	}
}

// modes: an exclusive claim is measured against both numbers, a shared one against the exclusive number alone.
func modes(tb testing.TB, g Guard) {
	tb.Helper()
	a := asker{tb, g.Gate}
	a.admits(check, exclusive(rev(5)))
	if err := a.ask(check, shared(rev(6))); !isShared(err) {
		tb.Errorf("Check of a shared claim: %v, want ErrShared", err)
	}
	a.admits(check, exclusive(rev(5))) // the refused one was not remembered
	a.admits(seal, shared(rev(8)))
	a.admits(seal, shared(rev(7))) // readers have no order among themselves
	a.admits(checkRead, shared(rev(6)))
	for _, m := range methods {
		a.refuses(m, exclusive(rev(5)), rev(8))
		a.refuses(m, exclusive(rev(7)), rev(8)) // 7 did not take the place of 8
		if m.name != check.name {
			a.refuses(m, shared(rev(4)), rev(5))
			a.admits(m, shared(rev(5))) // no holder has the same token in both modes, but equal is not smaller
		}
	}
	a.admits(seal, exclusive(rev(9)))
	a.refuses(checkRead, shared(rev(8)), rev(9))
	a.refuses(seal, shared(rev(8)), rev(9))
	a.admits(check, exclusive(rev(9)))
	a.admits(seal, shared(rev(10)))
	a.refuses(check, exclusive(rev(9)), rev(10))
}

// hostile are names of different resources that something on the way might take for the same, or for something else.
var hostile = []string{
	"lock/a", "lock/A", "Lock/a", "lock/a ", "lock/ a", " lock/a", "lock/a  ", "lock/á", "lock/a\u0301", "lock/\uff41", "lock/a\u200b", "lock/a\u00a0",
	"lock/ss", "lock/ß", "lock/ẞ", "lock/i", "lock/İ", "lock/ı", "lock/\u00c5", "lock/\u212b", "lock/Å.", "lock/日本", "lock/🔒", "lock/🔓", "lock/\U0010ffff",
	"lock/a/b", "lock/a%2Fb", "lock/a%2fb", "lock/a%252Fb", "lock/a//b", "lock/a/../a", "lock/.", "lock/..", "lock/a/", "lock/a.", "lock/a+b", "lock/a b",
	"lock/'", "lock/''", `lock/"`, `lock/""`, "lock/`", `lock/\`, `lock/\\`, `lock/\'`, `lock/\0`, "lock/'; DROP TABLE stile_fence; --", "lock/$1", "lock/?", "lock/:a",
	"lock/%", "lock/_", "lock/%s", "lock/%00", "lock/*", "lock/[a]", "lock/a;b", "lock/a,b", "lock/a=b", "lock/a&b", "lock/a:b", "lock/a|b", "lock/<a>", "lock/{a}",
	"lock/~", "lock/CON", "lock/nul", "semaphore/a#1", "semaphore/a#10", "semaphore/a", "election/a", "rwlock/a", "0", "null", "lock",
	"lock/" + long, "lock/" + long[1:], "lock/" + long[:len(long)-1] + "y", "lock/y" + long[1:], "semaphore/" + long + "#4294967295",
	"lock/" + strings.Repeat("🔒", len(long)/4), "lock/" + strings.Repeat("%", len(long)),
}

// long is the longest name that a recipe takes.
var long = strings.Repeat("x", 512)

// names: they are compared byte by byte. The tokens fall, so that of two names that are taken for one the second is refused.
func names(tb testing.TB, g Guard) {
	tb.Helper()
	a := asker{tb, g.Gate}
	for round, m := range []method{seal, check} {
		for i, name := range hostile {
			token := rev(int64(1000*(round+1) - i))
			a.admits(m, fencing.Claim{Resource: name, Token: token})
			a.refuses(checkRead, fencing.Claim{Resource: name, Token: rev(9)}, token)
		}
	}
}
