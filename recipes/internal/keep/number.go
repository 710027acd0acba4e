package keep

import "sync"

// Number takes the lowest number that nobody else on this lease has in scope, until it is returned by free. Whoever names keys by it lets
// names be used again, and so leaves few that are dead.
func (l *Lease) Number(scope string) (n int, free func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.numbers == nil {
		l.numbers = make(map[string]map[int]struct{})
	}
	taken := l.numbers[scope]
	if taken == nil {
		taken = make(map[int]struct{})
		l.numbers[scope] = taken
	}
	for n = 0; ; n++ {
		if _, is := taken[n]; !is {
			break
		}
	}
	taken[n] = struct{}{}
	return n, sync.OnceFunc(func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if delete(taken, n); len(taken) == 0 && l.numbers != nil {
			delete(l.numbers, scope)
		}
	})
}
