package slots

import (
	"net/url"

	"github.com/stile-dev/stile/recipes/internal/line"
)

// held are the slots in a view.
type held struct {
	is    []bool // taken, of those below the limit
	taken int    // in all
	above bool   // one is, from the limit on
}

func holds(view *line.View, rec Record) held {
	h := held{is: make([]bool, rec.Limit)}
	for name := range view.Names(slots) {
		i, ok := Number(name)
		if !ok {
			continue
		}
		h.taken++
		if i < rec.Limit {
			h.is[i] = true
		} else {
			h.above = true
		}
	}
	return h
}

// free are the names of the first n that are.
func (h held) free(n int) (names []string) {
	for i := 0; i < len(h.is) && len(names) < n; i++ {
		if !h.is[i] {
			names = append(names, Name(i))
		}
	}
	return names
}

// group are names for the permits among those of the sessions with the same label. Those are counted by what their slots tell, so that the ones who came
// before the spread was set count as well.
func (w *Want) group(view *line.View, s Spread) (names []string, ok bool) {
	value, taken := w.Labels[s.Label], 0
	for name := range view.Names(slots) {
		if v, has := view.Labels(name)[s.Label]; has && v == value {
			taken++
		}
	}
	prefix := groups + url.PathEscape(s.Label) + "/" + url.PathEscape(value) + "/"
	for j := 0; j < s.Most && len(names) < w.N; j++ {
		if name := prefix + digits(j); view.Get(name) == nil {
			names = append(names, name)
		}
	}
	return names, taken+w.N <= s.Most && len(names) == w.N
}
