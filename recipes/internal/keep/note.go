package keep

import "sync"

// mostNotes is how many scopes notes are kept of.
const mostNotes = 1024

// notes are numbers that recipes have seen in etcd. They may be out of date, or forgotten.
type notes struct {
	mu sync.Mutex
	of map[string]int
}

// Note remembers what n was, for scope.
func (k *Keeper) Note(scope string, n int) {
	k.notes.mu.Lock()
	defer k.notes.mu.Unlock()
	if k.notes.of == nil || len(k.notes.of) >= mostNotes {
		k.notes.of = make(map[string]int)
	}
	k.notes.of[scope] = n
}

// Noted is what Note was told last, if it still knows.
func (k *Keeper) Noted(scope string) (n int, ok bool) {
	k.notes.mu.Lock()
	defer k.notes.mu.Unlock()
	n, ok = k.notes.of[scope]
	return n, ok
}
