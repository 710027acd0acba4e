package demo

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/stile-dev/stile/cmd/stile/internal/term"
)

// ErrNotSeen says that the observer did not see all that the demo claims.
var ErrNotSeen = errors.New("not seen")

// claim is something that the demo says, and whether the observer saw it.
type claim struct {
	text string
	seen bool
}

func (p *play) claim(seen bool, format string, args ...any) {
	p.claims = append(p.claims, claim{fmt.Sprintf(format, args...), seen})
}

// read is how the observer reads: from the files.
func (p *play) read() (plain, fenced []Entry, err error) {
	plain, err = readLines(p.Ledgers.plain())
	if err != nil {
		return nil, nil, err
	}
	fenced, err = readLines(p.Ledgers.fenced())
	return plain, fenced, err
}

// lateLine is the first line whose token is smaller than that of a line before it.
func lateLine(entries []Entry) (Entry, bool) {
	for i := 1; i < len(entries); i++ {
		if entries[i].Token.Compare(entries[i-1].Token) < 0 {
			return entries[i], true
		}
	}
	return Entry{}, false
}

// judge compares what the demo has said with what stands in the ledgers.
func (p *play) judge(context.Context) error {
	plain, fenced, err := p.read()
	if err != nil {
		return err
	}
	p.table(plain, fenced)
	a, b := p.tokens[0], p.tokens[1]
	late, ok := lateLine(plain)
	p.claim(ok && late.Worker == "A" && late.Token == a && count(plain, a) == 2, "plain ledger: A's late line (token %s) stands after B's (token %s)", a, b)
	_, ok = lateLine(fenced)
	p.claim(!ok && len(fenced) == len(p.tokens), "fenced ledger: its tokens only rise, one line for each hold")
	p.claim(count(fenced, a) == 1, "fenced ledger: A's late line (token %s) isn't in it", a)
	refused, n := p.Gate.refusals()
	p.claim(n == 1 && refused[0].Presented == a && refused[0].Seen == b, "its gate refused one write: token %s, having seen %s", a, b)
	return p.verdict()
}

// table shows the ledgers side by side.
func (p *play) table(plain, fenced []Entry) {
	p.Screen.text("          %-34s%s\n", "plain ledger", "fenced ledger")
	for i := range max(len(plain), len(fenced)) {
		left, look := p.cell("plain", plain, i)
		right, _ := p.cell("fenced", fenced, i)
		padding := strings.Repeat(" ", max(0, 34-len(left)))
		p.Screen.text("          %s\n", strings.TrimRight(p.Screen.style.In(look, left)+padding+right, " "))
	}
	p.Screen.text("\n")
}

func (p *play) cell(ledger string, entries []Entry, i int) (text, look string) {
	if i >= len(entries) {
		return "", ""
	}
	e := entries[i]
	text = fmt.Sprintf("token %-4s %s", e.Token, e.Worker)
	if i > 0 && e.Token.Compare(entries[i-1].Token) < 0 {
		text, look = text+"  <- late", term.Red
	}
	if p.Screen.json {
		p.Screen.show(Event{Event: eventLine, Worker: e.Worker, PID: e.PID, Token: e.Token, Ledger: ledger, Line: &e, Text: text})
	}
	return text, look
}

// verdict shows the claims, and is an error if one of them was not seen.
func (p *play) verdict() error {
	var missing []string
	for _, c := range p.claims {
		sign := p.Screen.style.In(term.Green, "seen")
		if !c.seen {
			sign = p.Screen.style.In(term.Red, "NOT SEEN")
			missing = append(missing, c.text)
		}
		p.Screen.text("    %s  %s\n", sign, c.text)
		if p.Screen.json {
			p.Screen.show(Event{Event: eventClaim, OK: &c.seen, Text: c.text})
		}
	}
	if missing != nil {
		return fmt.Errorf("%w: %s", ErrNotSeen, strings.Join(missing, "; "))
	}
	return nil
}
